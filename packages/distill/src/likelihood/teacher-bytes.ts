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
  private readonly parents: Int32Array;
  /** (V) the node where a token ends, 0: none. Several may have the same spelling. */
  private readonly ends: Int32Array;
  /** Of the teacher's distribution at hand: probability of the tokens that end at each node, and of all at or below it. */
  private readonly own: Float64Array;
  private readonly mass: Float64Array;

  constructor(vocabulary: SubwordVocabulary, { student = BOLMO_VOCABULARY }: TeacherBytesOptions = {}) {
    this.vocabulary = vocabulary;
    this.student = student;
    const parents = [-1];
    this.ends = Int32Array.from({ length: vocabulary.size }, (_, id) => (vocabulary.has(id) ? this.idsOf(id).reduce((node, symbol) => this.child(node, symbol, parents), 0) : 0));
    this.parents = Int32Array.from(parents);
    this.own = new Float64Array(parents.length);
    this.mass = new Float64Array(parents.length);
  }

  /**
   * Logits over (id, patch end) at every byte of one token: row k says what follows the first k of its bytes.
   * @param logProbs (V) the teacher's log-probabilities of the token; mass on rows without a token is shared out among the rest.
   * @param token the token whose prefixes are followed.
   * @returns (bytes of the token) rows of `2 * numIds` log-probabilities.
   */
  rowsOf(logProbs: ArrayLike<number>, token: number): Float64Array[] {
    const { numIds } = this.student;
    const rows: Float64Array[] = [];
    this.read(Float64Array.from(logProbs, Math.exp));
    this.follow(token, (id, isEnd, p) => void (rows.at(-1)![isEnd ? id + numIds : id] = log(p)), () => rows.push(new Float64Array(2 * numIds).fill(NEVER)));
    return rows;
  }

  /**
   * Logits of a whole batch, as a student with `rows` would give them: position t holds what follows it, in the patch of t + 1.
   * @param teacherLogProbs (B*P*V) on the host: position p says what token p + 1 is.
   * @returns (B*n*2·numIds); rows that predict nothing are 0.
   */
  logits(rows: ByteRows, teacherLogProbs: Float32Array | Float64Array, vocabSize: number): Float32Array {
    const width = 2 * this.student.numIds;
    const out = new Float32Array(rows.batch * rows.length * width);
    for (const { token, from, at } of patchesOf(rows)) {
      this.rowsOf(teacherLogProbs.subarray(from * vocabSize, (from + 1) * vocabSize), token).forEach((row, k) => out.set(row, (at + k) * width));
    }
    return out;
  }

  /**
   * The distributions of a whole batch, to be learned as they are: position t holds what the teacher says about byte t + 1 and whether a patch
   * ends there, for every byte and not only for the one that came. Left out, with rows of 0, are positions that predict nothing, and tokens whose
   * boundary was left out before a document end, with that end: their events are not the teacher's.
   *
   * @param probs (B*P*V) the teacher's probabilities on the host: position p says what token p + 1 is.
   * @param options.width 2·numIds (default), or numIds for a student without boundaries in its output: both halves in one.
   * @returns `targets` (B*n*width) and `mask` (B*n), 1 where a row is a distribution.
   */
  targets(rows: ByteRows, probs: Float32Array, vocabSize: number, { width = 2 * this.student.numIds }: { width?: number } = {}): ByteTargets {
    const { numIds } = this.student;
    const half = width > numIds ? numIds : 0;
    const targets = new Float32Array(rows.batch * rows.length * width);
    const mask = new Float32Array(rows.batch * rows.length);
    let isOpen = false;
    for (const { token, from, at, length } of patchesOf(rows)) {
      const wasOpen = isOpen && at % rows.length > 0;
      isOpen = !rows.boundaryLabels[at + length];
      if (isOpen || wasOpen) continue;
      this.read(probs.subarray(from * vocabSize, from * vocabSize + this.ends.length));
      let row = at - 1;
      this.follow(token, (id, isEnd, p) => void (targets[row * width + id + (isEnd ? half : 0)]! += p), () => void (mask[++row] = 1));
    }
    return { targets, mask };
  }

  /** Takes the teacher's distribution over tokens apart along the trie. */
  private read(probs: ArrayLike<number>): void {
    const { own, mass, ends, parents } = this;
    own.fill(0);
    // Rows without a token end at node 0, whose own probability nobody asks for.
    for (let id = 0; id < ends.length; id++) own[ends[id]!]! += probs[id]!;
    own[0] = 0;
    mass.set(own);
    for (let node = mass.length - 1; node > 0; node--) mass[parents[node]!]! += mass[node]!;
  }

  /** Goes along a token's bytes: `next` before each of them, then `say` for all that may stand there, with and without a patch end behind it. */
  private follow(token: number, say: (id: number, isEnd: boolean, probability: number) => void, next: () => void): void {
    const { own, mass, children } = this;
    let node = 0;
    for (const id of this.idsOf(token)) {
      next();
      // A patch that goes on is none of the tokens that end here.
      const all = Math.max(mass[node]! - own[node]!, Number.MIN_VALUE);
      for (const [symbol, child] of children[node]!) {
        say(symbol, false, Math.max(0, mass[child]! - own[child]!) / all);
        say(symbol, true, own[child]! / all);
      }
      node = children[node]!.get(id)!;
    }
  }

  private idsOf(token: number): number[] {
    const { offset, eos, pad } = this.student;
    return Array.from(this.vocabulary.symbolsOf(token), (s) => (s === END_SYMBOL ? eos : s === PAD_SYMBOL ? pad : s + offset));
  }

  private child(node: number, id: number, parents: number[]): number {
    let next = this.children[node]!.get(id);
    if (next === undefined) {
      next = parents.push(node) - 1;
      this.children[node]!.set(id, next);
      this.children.push(new Map());
    }
    return next;
  }
}

/** Distributions over a student's output, (B*n*width), and where there are any, (B*n). */
export interface ByteTargets {
  targets: Float32Array;
  mask: Float32Array;
}

interface PredictedPatch {
  token: number;
  /** Row of the teacher's output that predicts it, of B*P, */
  from: number;
  /** row of the student's that predicts its first byte, of B*n, and its bytes. */
  at: number;
  length: number;
}

/** The patches that are predicted: all but the begin symbol's. */
function* patchesOf({ batch, length, patches, patchLengths, teacherIds }: ByteRows): Generator<PredictedPatch> {
  for (let b = 0; b < batch; b++) {
    let at = b * length + patchLengths[b * patches]! - 1;
    for (let p = 1; p < patches && patchLengths[b * patches + p]; p++) {
      const i = b * patches + p;
      yield { token: teacherIds[i]!, from: i - 1, at, length: patchLengths[i]! };
      at += patchLengths[i]!;
    }
  }
}

/** Differences of sums may fall a rounding below 0. */
const log = (p: number): number => (p > 0 ? Math.max(NEVER, Math.log(p)) : NEVER);
