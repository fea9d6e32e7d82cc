// Pieces of the chunked scan that forward and backward share. One chunk of one head at a time: q positions, P x N state.

import { at } from '../../../core/as/lib/elementwise';
import { exp1, exp4, sigmoid1, softplus1 } from '../../../core/as/lib/vec';

/**
 * Step sizes of one head and their log decays: delta[t] and s[t], the inclusive sum of delta*A within each chunk of Q positions; both
 * contiguous in t. @param dt first value, `dtStride` floats apart
 */
export function stepSizes(
  length: i32, Q: i32, real: i32, dt: usize, dtStride: i32, bias: f32, softplus: bool, low: f32, high: f32, A: f32, delta: usize, s: usize,
): void {
  let sum: f32 = 0;
  for (let t = 0; t < length; t++) {
    if (t % Q == 0) sum = 0;
    let d: f32 = load<f32>(at(dt, t * dtStride)) + bias;
    if (softplus) d = softplus1(d);
    d = t < real ? min(max(d, low), high) : 0;
    sum += d * A;
    store<f32>(at(delta, t), d);
    store<f32>(at(s, t), sum);
  }
}

/** d delta / d dt at one position: 0 outside the limits. */
export function stepSizeSlope(dt: f32, bias: f32, softplus: bool, low: f32, high: f32): f32 {
  const raw = dt + bias;
  const d = softplus ? softplus1(raw) : raw;
  if (d < low || d > high) return 0;
  return softplus ? sigmoid1(raw) : 1;
}

/** E[t, j] = exp(s_t - s_j) for j <= t of one document, else 0; rows Q floats apart. @param ids of the chunk or 0 */
export function decayTile(q: i32, Q: i32, s: usize, ids: usize, E: usize): void {
  for (let t = 0; t < q; t++) {
    const row = at(E, t * Q);
    const st = load<f32>(at(s, t));
    const st4 = f32x4.splat(st);
    let j = 0;
    // Whole quads may reach past t, where the exponents are positive: exp4 clamps them, and the fill below clears them.
    for (; j + 3 <= t; j += 4) v128.store(at(row, j), exp4(f32x4.sub(st4, v128.load(at(s, j)))));
    for (; j <= t; j++) store<f32>(at(row, j), exp1(st - load<f32>(at(s, j))));
    for (; j < q; j++) store<f32>(at(row, j), 0);
    if (ids) {
      const id = load<i32>(at(ids, t));
      for (j = 0; j < t; j++) if (load<i32>(at(ids, j)) != id) store<f32>(at(row, j), 0);
    }
  }
}

/**
 * Decays of one chunk: into[t] from its entry to t, out[t] from t to its end; returns the decay across it.
 * @param before id of the last position before the chunk, used when `ids` is given
 */
export function chunkDecays(q: i32, s: usize, ids: usize, before: i32, into: usize, out: usize): f32 {
  const total = load<f32>(at(s, q - 1));
  const end = ids ? load<i32>(at(ids, q - 1)) : 0;
  for (let t = 0; t < q; t++) {
    const st = load<f32>(at(s, t));
    const id = ids ? load<i32>(at(ids, t)) : 0;
    store<f32>(at(into, t), ids && id != before ? 0 : exp1(st));
    store<f32>(at(out, t), id != end ? 0 : exp1(total - st));
  }
  return ids && end != before ? 0 : exp1(total);
}
