import { DataError } from '@bytelm/core';

/**
 * The two ways to count a row of N ids (blt.md 2.1). `true`, the next-token convention: lengths cover N+1 positions, the last one being the
 * id that is not known yet; models need it. `false`, the preprocessing convention: lengths sum to N.
 */
export interface LengthConvention {
  nextToken?: boolean | undefined;
}

/** Positions that lengths of a row of `length` ids cover. */
const covered = (length: number, { nextToken = true }: LengthConvention): number => length + (nextToken ? 1 : 0);

/**
 * Patch starts → patch lengths.
 *
 * @param starts ascending, the first one 0; those beyond what the convention covers are left out.
 * @param length N, ids of the row.
 * @throws DataError when starts do not begin at 0 or do not ascend.
 */
export function lengthsFromStarts(starts: ArrayLike<number>, length: number, convention: LengthConvention = {}): number[] {
  const total = covered(length, convention);
  const out: number[] = [];
  for (let j = 0; j < starts.length && starts[j]! < total; j++) {
    if (j === 0 ? starts[0] !== 0 : starts[j]! <= starts[j - 1]!) {
      throw new DataError(`[lengthsFromStarts] starts: expected 0 first and then ascending positions, got ${starts[j]} at ${j}${j ? ` behind ${starts[j - 1]}` : ''}.`);
    }
    out.push(Math.min(j + 1 < starts.length ? starts[j + 1]! : total, total) - starts[j]!);
  }
  return out;
}

/** Patch lengths → patch starts; zeros at the end are padding. */
export function startsFromLengths(lengths: ArrayLike<number>): number[] {
  const out: number[] = [];
  for (let j = 0, at = 0; j < lengths.length && lengths[j]! > 0; at += lengths[j++]!) out.push(at);
  return out;
}

/** Cuts every length above `max` to `max, max, …, rest`; applied after the lengths, the virtual next id included (blt.md 2.5). Zeros are left out. */
export function splitLongLengths(lengths: ArrayLike<number>, max: number): number[] {
  if (!(Number.isInteger(max) && max >= 1)) throw new DataError(`[splitLongLengths] max: expected a whole number from 1, got ${max}.`);
  const out: number[] = [];
  for (let j = 0; j < lengths.length; j++) for (let rest = lengths[j]!; rest > 0; rest -= max) out.push(Math.min(rest, max));
  return out;
}

/** Lengths of equal patches, the remainder last: the published static patching, whose first patch is not a single id (blt.md 2.4). */
export function uniformLengths(length: number, patchSize: number, convention: LengthConvention = {}): number[] {
  return splitLongLengths([covered(length, convention)], patchSize);
}

/** `id(i)` = patch that contains position i, for N positions: which patch pools byte i. */
export function patchIds(lengths: ArrayLike<number>, length: number): Int32Array {
  const out = new Int32Array(length);
  let at = 0;
  for (let j = 0; j < lengths.length && at < length; j++) {
    const end = Math.min(length, at + lengths[j]!);
    out.fill(j, at, end);
    at = end;
  }
  if (at < length) throw new DataError(`[patchIds] lengths: expected a sum of at least ${length}, got ${at}.`);
  return out;
}

/**
 * `d(i) = id(i + 1) − 1` = last patch that is complete once byte i is known: which patch the decoder reads at i.
 *
 * @param lengths next-token convention, the first one 1.
 * @throws DataError
 */
export function decoderPatchIds(lengths: ArrayLike<number>, length: number): Int32Array {
  if (lengths[0] !== 1) throw new DataError(`[decoderPatchIds] lengths: expected 1 first, got ${lengths[0]}. Hint: the first id is a patch of its own.`);
  return patchIds(Array.from(lengths).slice(1), length);
}

/** Rows of different numbers of patches as one block, (B*P) row-major with zeros behind. */
export function padLengths(rows: readonly ArrayLike<number>[]): { values: Int32Array; numPatches: number } {
  const numPatches = rows.reduce((n, r) => Math.max(n, r.length), 0);
  const values = new Int32Array(rows.length * numPatches);
  rows.forEach((r, b) => values.set(Array.from(r), b * numPatches));
  return { values, numPatches };
}
