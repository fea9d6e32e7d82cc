import { gemvRows, gemvT } from '../../../core/as/lib/gemv';
import { exp4, exp1, hmax4, hsum4 } from '../../../core/as/lib/vec';

// @ts-ignore: decorator
@inline
function f(p: usize, i: i32): usize {
  return p + (<usize>i << 2);
}

/** Softmax of n scores in place. */
function softmaxRow(s: usize, n: i32, scale: f32): void {
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
 * One query (H, D) over the first `count` slots of one cache row, k (C, Hkv, D) and v (C, Hkv, Dv); y (H, Dv). No slot: zeros.
 *
 * @param scores H / Hkv · count floats of scratch
 */
export function attendOne(y: usize, q: usize, k: usize, v: usize, count: i32, heads: i32, kvHeads: i32, dim: i32, valueDim: i32, scale: f32, scores: usize): void {
  if (count <= 0) {
    memory.fill(y, 0, <usize>(heads * valueDim) << 2);
    return;
  }
  const group = heads / kvHeads;
  for (let h = 0; h < kvHeads; h++) {
    // The query heads that share this key head: each key is read once for all of them.
    gemvRows(group, count, dim, f(k, h * dim), kvHeads * dim, f(q, h * group * dim), dim, 0, scores, count, false);
    for (let g = 0; g < group; g++) {
      softmaxRow(f(scores, g * count), count, scale);
      gemvT(valueDim, count, f(v, h * valueDim), kvHeads * valueDim, f(scores, g * count), f(y, (h * group + g) * valueDim), false);
    }
  }
}
