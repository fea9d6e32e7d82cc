import { END_SYMBOL, PAD_SYMBOL, type SubwordVocabulary } from '../alignment/vocabulary.js';
import { BOLMO_VOCABULARY, type ByteRows, type StudentVocabulary } from '../alignment/byte-rows.js';

export interface TeacherBytesOptions {
  student?: StudentVocabulary;
}

/** Far below every other logit, and finite. */
const NEVER = -1e4;

/**
 * What a subword model says about bytes: its distribution over tokens, taken apart along a trie of their spellings, is a distribution over
 * (next byte, does the patch end there) after every prefix. Nothing is lost: by the chain rule the product over a token's bytes is the
 * token's probability.
 *
 * It is the student that copies its teacher perfectly, so tests can ask whether a loss is at its floor there; and it turns a token teacher
 * into one of bytes, for students that have no patches at all.
 */
export class TeacherBytes {
  private readonly vocabulary: SubwordVocabulary;
  private readonly student: StudentVocabulary;
  /** By node; children have larger numbers than their parent, node 0 is the empty prefix. */
  private readonly children: Map<number, number>[] = [new Map()];
  private readonly parents: number[] = [-1];
  /** Tokens that end at each node: several may have the same spelling. */
  private readonly tokens: number[][] = [[]];

  constructor(vocabulary: SubwordVocabulary, { student = BOLMO_VOCABULARY }: TeacherBytesOptions = {}) {
    this.vocabulary = vocabulary;
    this.student = student;
    for (let id = 0; id < vocabulary.size; id++) {
      if (!vocabulary.has(id)) continue;
      let node = 0;
      for (const symbol of this.idsOf(id)) node = this.child(node, symbol);
      if (node) this.tokens[node]!.push(id);
    }
  }

  /**
   * Logits over (id, patch end) at every byte of one token: row k says what follows the first k of its bytes.
   * @param logProbs (V) the teacher's log-probabilities of the token; mass on rows without a token is shared out among the rest.
   * @param token the token whose prefixes are followed.
   * @returns (bytes of the token) rows of `2 * numIds` log-probabilities.
   */
  rowsOf(logProbs: ArrayLike<number>, token: number): Float64Array[] {
    const { own, mass } = this.masses(logProbs);
    const { numIds } = this.student;
    let node = 0;
    return this.idsOf(token).map((id) => {
      const row = new Float64Array(2 * numIds).fill(NEVER);
      // A patch that goes on is none of the tokens that end here.
      const all = mass[node]! - own[node]!;
      for (const [next, child] of this.children[node]!) {
        row[next] = log((mass[child]! - own[child]!) / all);
        row[next + numIds] = log(own[child]! / all);
      }
      node = this.children[node]!.get(id)!;
      return row;
    });
  }

  /**
   * Logits of a whole batch, as a student with `rows` would give them: position t holds what follows it, in the patch of t + 1.
   * @param teacherLogProbs (B*P*V) on the host: position p says what token p + 1 is.
   * @returns (B*n*2·numIds); rows that predict nothing are 0.
   */
  logits(rows: ByteRows, teacherLogProbs: Float32Array | Float64Array, vocabSize: number): Float32Array {
    const { batch, length, patches } = rows;
    const width = 2 * this.student.numIds;
    const out = new Float32Array(batch * length * width);
    for (let b = 0; b < batch; b++) {
      let t = rows.patchLengths[b * patches]! - 1;
      for (let p = 1; p < patches && rows.patchLengths[b * patches + p]; p++) {
        const at = (b * patches + p - 1) * vocabSize;
        for (const row of this.rowsOf(teacherLogProbs.subarray(at, at + vocabSize), rows.teacherIds[b * patches + p]!)) out.set(row, (b * length + t++) * width);
      }
    }
    return out;
  }

  /** Probability of the tokens that end at each node, and of all at or below it. */
  private masses(logProbs: ArrayLike<number>): { own: Float64Array; mass: Float64Array } {
    const own = Float64Array.from(this.tokens, (ids) => ids.reduce((sum, id) => sum + Math.exp(logProbs[id]!), 0));
    const mass = Float64Array.from(own);
    for (let node = mass.length - 1; node > 0; node--) mass[this.parents[node]!]! += mass[node]!;
    return { own, mass };
  }

  private idsOf(token: number): number[] {
    const { offset, eos, pad } = this.student;
    return Array.from(this.vocabulary.symbolsOf(token), (s) => (s === END_SYMBOL ? eos : s === PAD_SYMBOL ? pad : s + offset));
  }

  private child(node: number, id: number): number {
    let next = this.children[node]!.get(id);
    if (next === undefined) {
      next = this.children.length;
      this.children[node]!.set(id, next);
      this.children.push(new Map());
      this.parents.push(node);
      this.tokens.push([]);
    }
    return next;
  }
}

/** Differences of sums may fall a rounding below 0. */
const log = (p: number): number => (p > 0 ? Math.max(NEVER, Math.log(p)) : NEVER);
