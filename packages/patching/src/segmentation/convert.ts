import { DataError, Segmentation, type SequenceContext } from '@bytelm/core';
import { lengthsFromStarts, startsFromLengths, type LengthConvention } from './lengths.js';

export interface FromLengthsOptions {
  /** L, the common width of the rows. Default: the longest row. */
  length?: number | undefined;
  /** Real ids of each row, to check the sums against. Default: what the lengths say. */
  lengths?: ArrayLike<number> | undefined;
  /** Round the chunk axis up to a multiple of this. Default 1. */
  padTo?: number | undefined;
}

/**
 * Patch lengths → the segmentation that models use: a patch start at t+1 is a boundary at t. A row's last patch, which the next id
 * closes or not, is no chunk yet.
 *
 * @param lengths of each row, in the next-token convention: they sum to N+1 and begin with 1. Zeros behind are padding.
 * @throws DataError that names the row and its sum, for lengths that do not sum, do not begin with 1, or have a zero before another length.
 * @example
 * segmentationFromLengths([[1, 2, 3, 1]]).boundaryMask; // 1 0 1 0 0 1
 */
export function segmentationFromLengths(lengths: readonly ArrayLike<number>[], options: FromLengthsOptions = {}): Segmentation {
  const sums = lengths.map(checkedSum);
  const L = options.length ?? Math.max(0, ...sums.map((s) => s - 1));
  const mask = new Uint8Array(lengths.length * L);
  lengths.forEach((row, b) => {
    const expected = options.lengths?.[b];
    if (expected !== undefined && sums[b] !== expected + 1) throw wrongSum(b, sums[b]!, expected);
    if (sums[b]! - 1 > L) throw wrongSum(b, sums[b]!, L);
    for (const s of startsFromLengths(row)) if (s > 0) mask[b * L + s - 1] = 1;
  });
  return new Segmentation(lengths.length, L, mask, { drawnAt: 'end', padTo: options.padTo });
}

/**
 * Patch starts → segmentation. @param starts of each row, ascending from 0, 1; a start at N (the next id) closes the last patch.
 * @param lengths N of each row.
 */
export function segmentationFromStarts(starts: readonly ArrayLike<number>[], lengths: ArrayLike<number>, options: Omit<FromLengthsOptions, 'lengths'> = {}): Segmentation {
  return segmentationFromLengths(starts.map((s, b) => lengthsFromStarts(s, lengths[b]!)), { ...options, lengths });
}

/** Patch starts of every row, out of a segmentation drawn at the end: 0 and one behind each boundary. N is among them when the last id closes a patch. */
export function patchStarts(seg: Segmentation, ctx?: Pick<SequenceContext, 'lengths'>): number[][] {
  if (seg.drawnAt !== 'end') throw new DataError("[patchStarts] expected a segmentation drawn at the end, got one drawn at 'start'. Hint: only there a boundary closes a patch.");
  return Array.from({ length: seg.batch }, (_, b) => {
    const starts = [0];
    const n = ctx?.lengths?.[b] ?? seg.length;
    for (let t = 0; t < n; t++) if (seg.boundaryMask[b * seg.length + t]) starts.push(t + 1);
    return starts;
  });
}

/** Patch lengths of every row, without padding. The inverse of `segmentationFromLengths`. */
export function patchLengths(seg: Segmentation, ctx?: Pick<SequenceContext, 'lengths'>, convention: LengthConvention = {}): number[][] {
  return patchStarts(seg, ctx).map((starts, b) => lengthsFromStarts(starts, ctx?.lengths?.[b] ?? seg.length, convention));
}

function checkedSum(lengths: ArrayLike<number>, row: number): number {
  let sum = 0;
  let ended = false;
  for (let j = 0; j < lengths.length; j++) {
    const n = lengths[j]!;
    if (!(Number.isInteger(n) && n >= 0)) throw new DataError(`[segmentationFromLengths] row ${row}: expected whole numbers, got ${n} at patch ${j}.`);
    if (n > 0 && ended) throw new DataError(`[segmentationFromLengths] row ${row}: expected zeros only behind the last patch, got ${n} at patch ${j} behind a 0 (sum so far ${sum}).`);
    ended = n === 0;
    sum += n;
  }
  if (sum > 0 && lengths[0] !== 1) {
    throw new DataError(`[segmentationFromLengths] row ${row}: expected a first length of 1, got ${lengths[0]} (sum ${sum}). Hint: the first id is a patch of its own; split it off.`);
  }
  return sum;
}

function wrongSum(row: number, sum: number, length: number): DataError {
  const hint = sum === length ? 'these count the ids only; with the next-token convention the last length covers the id to come, too.' : 'do the lengths belong to these rows?';
  return new DataError(`[segmentationFromLengths] row ${row}: expected lengths that sum to ${length} ids + 1 = ${length + 1}, got ${sum}. Hint: ${hint}`);
}
