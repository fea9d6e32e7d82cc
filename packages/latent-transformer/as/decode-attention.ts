import { attendCache } from './lib/attend-cache';

/**
 * y (R, H, Dv) of queries q (R, H, D) over a cache k (B, C, Hkv, D), v (B, C, Hkv, Dv).
 *
 * @param rows (R) i32 cache rows, 0 = all in order. @param starts, counts (R) i32 first slot seen and how many. @param scores heads · max count floats
 */
export function decodeAttention(
  y: usize, q: usize, k: usize, v: usize, rows: usize, starts: usize, counts: usize,
  numRows: i32, capacity: i32, heads: i32, kvHeads: i32, dim: i32, valueDim: i32, scale: f32, scores: usize,
): void {
  for (let r = 0; r < numRows; r++) {
    const b = rows ? load<i32>(rows + (<usize>r << 2)) : r;
    attendCache(
      y + (<usize>(r * heads * valueDim) << 2), q + (<usize>(r * heads * dim) << 2),
      k + (<usize>(b * capacity * kvHeads * dim) << 2), v + (<usize>(b * capacity * kvHeads * valueDim) << 2),
      load<i32>(starts + (<usize>r << 2)), load<i32>(counts + (<usize>r << 2)), capacity, heads, kvHeads, dim, valueDim, scale, scores,
    );
  }
}
