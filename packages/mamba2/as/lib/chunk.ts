// Pieces of the chunked scan that forward and backward share. One chunk of one head at a time: q positions, P x N state.

import { exp1, exp4, hsum4, sigmoid1, softplus1 } from '../../../core/as/lib/vec';
import { at } from './taps';

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

/** to[t, :] = f[t] (* g[t]) from[t, :], q rows of `width`; rows of `to` are adjacent. @param g or 0 */
export function scaleRows(q: i32, width: i32, from: usize, stride: i32, f: usize, g: usize, to: usize): void {
  for (let t = 0; t < q; t++) {
    let v = load<f32>(at(f, t));
    if (g) v *= load<f32>(at(g, t));
    const v4 = f32x4.splat(v);
    let x = at(from, t * stride);
    let i = 0;
    for (; i + 4 <= width; i += 4) {
      v128.store(to, f32x4.mul(v4, v128.load(x)));
      x += 16;
      to += 16;
    }
    for (; i < width; i++) {
      store<f32>(to, v * load<f32>(x));
      x += 4;
      to += 4;
    }
  }
}

/** x[0..n) *= f. */
export function scaleInPlace(n: i32, f: f32, x: usize): void {
  const f4 = f32x4.splat(f);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    v128.store(x, f32x4.mul(f4, v128.load(x)));
    x += 16;
  }
  for (; i < n; i++) {
    store<f32>(x, f * load<f32>(x));
    x += 4;
  }
}

/** z[i] = x[i] y[i]. */
export function multiply(n: i32, x: usize, y: usize, z: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(at(z, i), f32x4.mul(v128.load(at(x, i)), v128.load(at(y, i))));
  for (; i < n; i++) store<f32>(at(z, i), load<f32>(at(x, i)) * load<f32>(at(y, i)));
}

/** y[i] += x[i]. */
export function addTo(n: i32, x: usize, y: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(at(y, i), f32x4.add(v128.load(at(y, i)), v128.load(at(x, i))));
  for (; i < n; i++) store<f32>(at(y, i), load<f32>(at(y, i)) + load<f32>(at(x, i)));
}

/** Sum of x[0..n). */
export function sum(n: i32, x: usize): f32 {
  let v = f32x4.splat(0);
  let i = 0;
  for (; i + 4 <= n; i += 4) v = f32x4.add(v, v128.load(at(x, i)));
  let total = hsum4(v);
  for (; i < n; i++) total += load<f32>(at(x, i));
  return total;
}
