/**
 * Rounds a length up so that data of any length has few distinct sizes: powers of two and three quarters of them (at most a third is
 * padding). tfjs' WebGPU backend keeps a pool of buffers per exact byte size that never shrinks, so free lengths fill the memory.
 * @param length Non-negative.
 * @param least The smallest bucket. Default 16.
 * @example lengthBucket(100) // 128
 */
export function lengthBucket(length: number, least = 16): number {
  if (length <= least) return least;
  const power = 2 ** Math.ceil(Math.log2(length));
  return Math.max(least, length <= power * 0.75 ? power * 0.75 : power);
}
