/** Attributes of the op: checked options, and how much of each row is only context. */
export interface HashNgramAttrs {
  sizes: readonly number[];
  numFunctions: number;
  vocabularySize: number;
  /** Leading ids of each row that are looked at but get no hashes of their own. */
  history: number;
}

/** (T, B, L − history) of ids (B, L). */
export const hashShape = ([batch, length]: readonly number[], { sizes, numFunctions, history }: HashNgramAttrs): [number, number, number] => [
  sizes.length * numFunctions,
  batch!,
  length! - history,
];

/** Place of each n-gram length in `sizes` by length, −1 for lengths that are not asked for. */
export function slotsOf(sizes: readonly number[]): Int32Array {
  const slots = new Int32Array(Math.max(...sizes) + 1).fill(-1);
  sizes.forEach((n, i) => (slots[n] = i));
  return slots;
}
