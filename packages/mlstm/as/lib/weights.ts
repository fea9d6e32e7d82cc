// Gates of the mLSTM as weights: one head, one chunk of q positions at a time (mlstm.md section 1.3).
//
// With b the sum of log forget gates since the chunk (or the document in it) began and u = i - b, pair (t, s) weighs exp(b_t + u_s) and the
// entering state exp(b_t + m). The largest of them over s <= t is b_t + M_t, the stabiliser; scaled by it, weights are exp(u_s - M_t) and
// exp(m - M_t). b and u are kept in double precision: they grow with the chunk, and differences of them decide.

import { at } from '../../../core/as/lib/elementwise';
import { exp1, exp4, softplus1 } from '../../../core/as/lib/vec';

/** Log weight of an input that does not count. */
const NEVER: f64 = -1e30;

/** Byte offset of double i. */
// @ts-ignore: decorator
@inline
export function atDouble(base: usize, i: i32): usize {
  return base + (<usize>i << 3);
}

/** b and u (doubles) of all positions of one head. @param input, forget first values, `stride` floats apart @param ids of the row or 0 */
export function logGates(length: i32, Q: i32, real: i32, input: usize, forget: usize, stride: i32, ids: usize, b: usize, u: usize): void {
  let total: f64 = 0;
  for (let t = 0; t < length; t++) {
    if (t % Q == 0 || (ids && load<i32>(at(ids, t)) != load<i32>(at(ids, t - 1)))) total = 0;
    const isReal = t < real;
    if (isReal) total -= <f64>softplus1(-load<f32>(at(forget, t * stride)));
    store<f64>(atDouble(b, t), total);
    store<f64>(atDouble(u, t), (isReal ? <f64>load<f32>(at(input, t * stride)) : NEVER) - total);
  }
}

/**
 * The stabiliser of one chunk: M (doubles), m = b + M; into: scaled weight of the entering state; kept: 1 where the forget gate made m, else 0;
 * high, low: u as the sum of two floats. @param before id of the last position before the chunk, used when `ids` is given @param entry m that enters
 */
export function stabilise(q: i32, b: usize, u: usize, ids: usize, before: i32, entry: f32, M: usize, m: usize, into: usize, kept: usize, high: usize, low: usize): void {
  let previous = before;
  let enters = true;
  let largest: f64 = <f64>entry;
  for (let t = 0; t < q; t++) {
    const id = ids ? load<i32>(at(ids, t)) : before;
    if (id != previous) {
      enters = false;
      largest = 0;
    }
    previous = id;
    const ut = load<f64>(atDouble(u, t));
    const isKept = largest >= ut;
    if (!isKept) largest = ut;
    store<f64>(atDouble(M, t), largest);
    store<f32>(at(m, t), <f32>(load<f64>(atDouble(b, t)) + largest));
    store<f32>(at(into, t), enters ? exp1(<f32>(<f64>entry - largest)) : 0);
    store<f32>(at(kept, t), isKept ? 1 : 0);
    const h = <f32>ut;
    store<f32>(at(high, t), h);
    store<f32>(at(low, t), <f32>(ut - <f64>h));
  }
}

/** row[s] = exp(u_s - M_t) for s <= t of t's document, 0 for the rest of the q. */
export function weightRow(q: i32, t: i32, ids: usize, M: usize, high: usize, low: usize, row: usize): void {
  const Mt = load<f64>(atDouble(M, t));
  const h = <f32>Mt;
  const h4 = f32x4.splat(h);
  const l4 = f32x4.splat(<f32>(Mt - <f64>h));
  let s = 0;
  // Whole quads may reach past t, where exponents may be positive: exp4 clamps them, and the fill below clears them.
  for (; s <= t && s + 4 <= q; s += 4) {
    v128.store(at(row, s), exp4(f32x4.add(f32x4.sub(v128.load(at(high, s)), h4), f32x4.sub(v128.load(at(low, s)), l4))));
  }
  for (; s <= t; s++) store<f32>(at(row, s), exp1(load<f32>(at(high, s)) - h + (load<f32>(at(low, s)) - <f32>(Mt - <f64>h))));
  for (s = t + 1; s < q; s++) store<f32>(at(row, s), 0);
  if (!ids) return;
  const id = load<i32>(at(ids, t));
  for (s = 0; s < t && load<i32>(at(ids, s)) != id; s++) store<f32>(at(row, s), 0);
}

/** D[t, s] of all t; rows Q floats apart. */
export function weightTile(q: i32, Q: i32, ids: usize, M: usize, high: usize, low: usize, D: usize): void {
  for (let t = 0; t < q; t++) weightRow(q, t, ids, M, high, low, at(D, t * Q));
}
