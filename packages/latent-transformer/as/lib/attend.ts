import { at as f } from '../../../core/as/lib/elementwise';
import { gemvRows, gemvT } from '../../../core/as/lib/gemv';
import { exp4, exp1, hmax4, hsum4 } from '../../../core/as/lib/vec';

/** Softmax of n scores in place. */
export function softmaxRow(s: usize, n: i32, scale: f32): void {
  const scale4 = f32x4.splat(scale);
  const body = n & ~3;
  let top4 = f32x4.splat(-1e30);
  for (let j = 0; j < body; j += 4) {
    const x = f32x4.mul(v128.load(f(s, j)), scale4);
    v128.store(f(s, j), x);
    top4 = f32x4.max(top4, x);
  }
  let top = hmax4(top4);
  for (let j = body; j < n; j++) {
    const x = load<f32>(f(s, j)) * scale;
    store<f32>(f(s, j), x);
    top = max(top, x);
  }
  const shift = f32x4.splat(top);
  let sum4 = f32x4.splat(0);
  for (let j = 0; j < body; j += 4) {
    const p = exp4(f32x4.sub(v128.load(f(s, j)), shift));
    v128.store(f(s, j), p);
    sum4 = f32x4.add(sum4, p);
  }
  let sum = hsum4(sum4);
  for (let j = body; j < n; j++) {
    const p = exp1(load<f32>(f(s, j)) - top);
    store<f32>(f(s, j), p);
    sum += p;
  }
  const share = f32x4.splat(<f32>1 / sum);
  for (let j = 0; j < body; j += 4) v128.store(f(s, j), f32x4.mul(v128.load(f(s, j)), share));
  for (let j = body; j < n; j++) store<f32>(f(s, j), load<f32>(f(s, j)) / sum);
}

/**
 * One query (H, D) over `count` slots of one cache row, k (C, Hkv, D) and v (C, Hkv, Dv), from slot `start` on and from 0 again behind the
 * last one; y (H, Dv). No slot: zeros.
 *
 * @param scores H / Hkv · count floats of scratch
 */
export function attendRing(y: usize, q: usize, k: usize, v: usize, start: i32, count: i32, capacity: i32, heads: i32, kvHeads: i32, dim: i32, valueDim: i32, scale: f32, scores: usize): void {
  if (count <= 0) {
    memory.fill(y, 0, <usize>(heads * valueDim) << 2);
    return;
  }
  const group = heads / kvHeads;
  const keyRow = kvHeads * dim, valueRow = kvHeads * valueDim;
  const upper = min(count, capacity - start), lower = count - upper;
  for (let h = 0; h < kvHeads; h++) {
    // The query heads that share this key head: each key is read once for all of them.
    const query = f(q, h * group * dim), keys = f(k, h * dim), values = f(v, h * valueDim);
    gemvRows(group, upper, dim, f(keys, start * keyRow), keyRow, query, dim, 0, scores, count, false);
    if (lower) gemvRows(group, lower, dim, keys, keyRow, query, dim, 0, f(scores, upper), count, false);
    for (let g = 0; g < group; g++) {
      const p = f(scores, g * count), out = f(y, (h * group + g) * valueDim);
      softmaxRow(p, count, scale);
      gemvT(valueDim, upper, f(values, start * valueRow), valueRow, p, out, false);
      if (lower) gemvT(valueDim, lower, values, valueRow, f(p, upper), out, true);
    }
  }
}
