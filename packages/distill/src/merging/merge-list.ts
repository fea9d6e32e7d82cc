import { ConfigError } from '@bytelm/core';

export interface MergeOptions {
  /** Merge until this share of the patches is left. Default 0.01. */
  until?: number;
}

/**
 * Which neighbours become one patch first, for higher compression: step k joins positions i and i + 1 of the sequence as it is after the
 * steps before it.
 */
export type MergeList = Int32Array;

const stepsFor = (n: number, until: number): number => {
  if (!(until >= 0 && until <= 1)) throw new ConfigError(`[merging] until: expected a share between 0 and 1, got ${until}.`);
  return Math.max(0, Math.min(n - 1, n - Math.floor(n * until)));
};

/**
 * The pair with the largest sum of scores merges first, and scores as that sum; ties: the earlier pair. With negative entropies
 * (`Σ p log p` of the next token) or log-probabilities of an auxiliary model what is easy to predict merges first.
 *
 * @param scores one for each token of a row.
 * @source Bolmo, arXiv 2512.15586, section 5.1.
 */
export function mergesByScore(scores: ArrayLike<number>, { until = 0.01 }: MergeOptions = {}): MergeList {
  const merges = new Int32Array(stepsFor(scores.length, until));
  mergeLargest(Array.from(scores), merges, 0);
  return merges;
}

/** Fills the list from step `from` on. O(n) a step, on plain numbers. */
function mergeLargest(left: number[], merges: Int32Array, from: number): void {
  for (let k = from; k < merges.length; k++) {
    let best = 0;
    for (let i = 1; i + 1 < left.length; i++) if (left[i]! + left[i + 1]! > left[best]! + left[best + 1]!) best = i;
    left.splice(best, 2, left[best]! + left[best + 1]!);
    merges[k] = best;
  }
}

/**
 * Byte-pair merging within the row itself: all occurrences of its most frequent adjacent pair, then of the next, merged pairs counting as
 * one symbol. Ties: the pair of fewest tokens, then the earlier; so what never repeats is merged evenly, not all into the first patch.
 *
 * The published routine gives every merged occurrence a symbol of its own, so that merged pairs never repeat and it goes on at random after
 * the first passes; here equal merges are equal symbols, as byte-pair encoding has it. Its first pass is the same.
 * @param ids token ids of a row.
 */
export function mergesByFrequency(ids: ArrayLike<number>, { until = 0.01 }: MergeOptions = {}): MergeList {
  let left: Piece[] = Array.from(ids, (symbol) => ({ symbol, tokens: 1 }));
  let next = Math.max(-1, ...left.map((p) => p.symbol)) + 1;
  const merges = new Int32Array(stepsFor(left.length, until));
  for (let k = 0; k < merges.length; next++) {
    const { a, b, count } = mostFrequentPair(left);
    if (count === 1) {
      // No pair will ever repeat again: by size alone, smallest first.
      mergeLargest(left.map((p) => -p.tokens), merges, k);
      break;
    }
    const out: Piece[] = [];
    for (let i = 0; i < left.length; i++) {
      const [piece, following] = [left[i]!, left[i + 1]];
      if (k < merges.length && piece.symbol === a && following?.symbol === b) {
        merges[k++] = out.length;
        out.push({ symbol: next, tokens: piece.tokens + following.tokens });
        i++;
      } else out.push(piece);
    }
    left = out;
  }
  return merges;
}

interface Piece {
  symbol: number;
  /** How many tokens it is made of. */
  tokens: number;
}

interface Pair {
  a: number;
  b: number;
  tokens: number;
  count: number;
  /** Where it was counted last. */
  last: number;
}

function mostFrequentPair(left: readonly Piece[]): Pair {
  const pairs = new Map<string, Pair>();
  for (let i = 0; i + 1 < left.length; i++) {
    const [{ symbol: a, tokens }, { symbol: b, tokens: more }] = [left[i]!, left[i + 1]!];
    const seen = pairs.get(`${a},${b}`);
    if (!seen) pairs.set(`${a},${b}`, { a, b, tokens: tokens + more, count: 1, last: i });
    // In a run of one symbol pairs overlap, and only every other can merge.
    else if (a !== b || i > seen.last + 1) {
      seen.count++;
      seen.last = i;
    }
  }
  return [...pairs.values()].reduce((best, p) => (p.count > best.count || (p.count === best.count && p.tokens < best.tokens) ? p : best));
}

export interface MergedPatches {
  /** Bytes of each patch; the begin symbol is the first, alone. */
  patchLengths: number[];
  /** (tokens + 1) which merged patch each former patch went into. */
  mergedInto: Int32Array;
}

/**
 * Joins patches by a list until a row has `bytesPerPatch` at least, or the list ends.
 *
 * @param patchLengths bytes of each patch, the begin symbol first; merge i joins patches i + 1 and i + 2, so it never takes part. Merges that
 * reach beyond the patches a (cut) row has are skipped.
 * @param bytesPerPatch bytes of the row without the begin symbol, over all its patches with it.
 */
export function applyMerges(patchLengths: ArrayLike<number>, merges: MergeList, bytesPerPatch: number): MergedPatches {
  const left = Array.from(patchLengths);
  const firsts = left.map((_, i) => i);
  const bytes = left.reduce((a, b) => a + b, 0) - (left[0] ?? 0);
  for (const i of merges) {
    if (bytes / left.length >= bytesPerPatch) break;
    if (i + 2 >= left.length) continue;
    left.splice(i + 1, 2, left[i + 1]! + left[i + 2]!);
    firsts.splice(i + 2, 1);
  }
  const mergedInto = new Int32Array(patchLengths.length);
  firsts.forEach((first, p) => mergedInto.fill(p, first));
  return { patchLengths: left, mergedInto };
}
