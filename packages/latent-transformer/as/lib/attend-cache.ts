import { at as f } from '../../../core/as/lib/elementwise';
import { dot4, FAR } from '../../../core/as/lib/gemv';
import { madd } from '../../../core/as/lib/madd';
import { axpy, dot } from '../../../core/as/lib/vec';
import { softmaxRow } from './attend';

/**
 * Slots [0, count) of a cache in fours: adjacent ones, or of a long cache one from each quarter. Every slot is read whole, all heads of it, so
 * that memory is read in long streams; four distant ones keep it busier than one (see `gemvRows`).
 */
// @ts-ignore: decorator
@inline
function apart(count: i32, row: i32): i32 {
  return count * row >= FAR ? count >> 2 : 1;
}

/** scores[h, n] = q[h] · k[n, h's key head] for `count` slots; rows of scores `stride` floats apart. */
function scoreSlots(scores: usize, stride: i32, q: usize, k: usize, count: i32, kvHeads: i32, group: i32, dim: i32): void {
  const row = kvHeads * dim, quarters = count >> 2;
  const between = apart(count, row);
  const step = <usize>(between * row) << 2, advance = between == 1 ? 4 : 1;
  let n = 0;
  for (let i = 0; i < quarters; i++) {
    let keys = f(k, n * row), query = q, to = f(scores, n);
    for (let h = 0; h < kvHeads; h++) {
      for (let g = 0; g < group; g++) {
        const sum = dot4(dim, keys, step, query);
        if (between == 1) v128.store(to, sum);
        else {
          store<f32>(to, f32x4.extract_lane(sum, 0));
          store<f32>(f(to, between), f32x4.extract_lane(sum, 1));
          store<f32>(f(to, 2 * between), f32x4.extract_lane(sum, 2));
          store<f32>(f(to, 3 * between), f32x4.extract_lane(sum, 3));
        }
        query = f(query, dim);
        to = f(to, stride);
      }
      keys = f(keys, dim);
    }
    n += advance;
  }
  for (n = quarters << 2; n < count; n++)
    for (let h = 0; h < kvHeads * group; h++) store<f32>(f(scores, h * stride + n), dot(dim, f(q, h * dim), f(k, n * row + (h / group) * dim)));
}

/** y[h] += sum_n p[h, n] v[n, h's value head]. */
function mixSlots(y: usize, p: usize, stride: i32, v: usize, count: i32, kvHeads: i32, group: i32, dim: i32): void {
  const row = kvHeads * dim, quarters = count >> 2;
  const between = apart(count, row);
  const step = <usize>(between * row) << 2, next = <usize>between << 2, advance = between == 1 ? 4 : 1;
  const body = <usize>(dim & ~3) << 2, end = <usize>dim << 2;
  let n = 0;
  for (let i = 0; i < quarters; i++) {
    let v0 = f(v, n * row), out = y, from = f(p, n);
    for (let h = 0; h < kvHeads; h++) {
      const v1 = v0 + step, v2 = v1 + step, v3 = v2 + step;
      for (let g = 0; g < group; g++) {
        const p0 = v128.load32_splat(from), p1 = v128.load32_splat(from + next), p2 = v128.load32_splat(from + 2 * next), p3 = v128.load32_splat(from + 3 * next);
        let o: usize = 0;
        for (; o < body; o += 16) {
          const s = madd(p1, v128.load(v1 + o), f32x4.mul(p0, v128.load(v0 + o)));
          const t = madd(p3, v128.load(v3 + o), madd(p2, v128.load(v2 + o), v128.load(out + o)));
          v128.store(out + o, f32x4.add(s, t));
        }
        for (; o < end; o += 4) {
          const s = load<f32>(from) * load<f32>(v0 + o) + load<f32>(from + next) * load<f32>(v1 + o);
          const t = load<f32>(from + 2 * next) * load<f32>(v2 + o) + load<f32>(from + 3 * next) * load<f32>(v3 + o);
          store<f32>(out + o, load<f32>(out + o) + (s + t));
        }
        out += end;
        from = f(from, stride);
      }
      v0 += end;
    }
    n += advance;
  }
  for (n = quarters << 2; n < count; n++)
    for (let h = 0; h < kvHeads * group; h++) axpy(dim, load<f32>(f(p, h * stride + n)), f(v, n * row + (h / group) * dim), f(y, h * dim));
}

/**
 * `attendRing` for caches that may be long: the same, reading slot after slot instead of head after head.
 *
 * @param scores H · count floats of scratch
 */
export function attendCache(y: usize, q: usize, k: usize, v: usize, start: i32, count: i32, capacity: i32, heads: i32, kvHeads: i32, dim: i32, valueDim: i32, scale: f32, scores: usize): void {
  memory.fill(y, 0, <usize>(heads * valueDim) << 2);
  if (count <= 0) return;
  const group = heads / kvHeads;
  const keyRow = kvHeads * dim, valueRow = kvHeads * valueDim;
  const upper = min(count, capacity - start), lower = count - upper;
  scoreSlots(scores, count, q, f(k, start * keyRow), upper, kvHeads, group, dim);
  if (lower) scoreSlots(f(scores, upper), count, q, k, lower, kvHeads, group, dim);
  for (let h = 0; h < heads; h++) softmaxRow(f(scores, h * count), count, scale);
  mixSlots(y, scores, count, f(v, start * valueRow), upper, kvHeads, group, valueDim);
  if (lower) mixSlots(y, f(scores, upper), count, v, lower, kvHeads, group, valueDim);
}
