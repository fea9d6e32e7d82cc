import { madd } from './madd';
import { dot, hsum4x4 } from './vec';

/** Four dot products with x of weight rows `step` bytes apart. */
// @ts-ignore: decorator
@inline
export function dot4(ins: i32, w: usize, step: usize, x: usize): v128 {
  const w1 = w + step;
  const w2 = w1 + step;
  const w3 = w2 + step;
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let s2 = f32x4.splat(0);
  let s3 = f32x4.splat(0);
  let t0 = f32x4.splat(0);
  let t1 = f32x4.splat(0);
  let t2 = f32x4.splat(0);
  let t3 = f32x4.splat(0);
  const body = <usize>(ins & ~7) << 2;
  for (let k: usize = 0; k < body; k += 32) {
    const x0 = v128.load(x + k);
    const x1 = v128.load(x + k, 16);
    s0 = madd(x0, v128.load(w + k), s0);
    s1 = madd(x0, v128.load(w1 + k), s1);
    s2 = madd(x0, v128.load(w2 + k), s2);
    s3 = madd(x0, v128.load(w3 + k), s3);
    t0 = madd(x1, v128.load(w + k, 16), t0);
    t1 = madd(x1, v128.load(w1 + k, 16), t1);
    t2 = madd(x1, v128.load(w2 + k, 16), t2);
    t3 = madd(x1, v128.load(w3 + k, 16), t3);
  }
  let sum = hsum4x4(f32x4.add(s0, t0), f32x4.add(s1, t1), f32x4.add(s2, t2), f32x4.add(s3, t3));
  for (let k = body; k < <usize>ins << 2; k += 4) {
    const column = f32x4(load<f32>(w + k), load<f32>(w1 + k), load<f32>(w2 + k), load<f32>(w3 + k));
    sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(x + k), column));
  }
  return sum;
}

/** A matrix that stretches over so many floats (32 KiB) is taken for one of many, read from beyond the first caches. */
export const FAR: i32 = 1 << 13;

// @ts-ignore: decorator
@inline
function put(sum: f32, bias: usize, y: usize, accumulate: bool): void {
  if (bias) sum += load<f32>(bias);
  store<f32>(y, accumulate ? load<f32>(y) + sum : sum);
}

/**
 * y[r, o] = sum_k x[r, k] W[o, k] (+ bias[o]) (+ y[r, o] when `accumulate`) for a few rows r: each weight row is read once.
 * Faster than `gemm` for up to about 6 rows.
 *
 * Four weight rows go together. Of a large matrix they come one from each quarter: four distant streams keep the memory busier than one
 * (11 instead of 8 GB/s on the machine this was written on).
 *
 * @param wrs, xrs, yrs row strides in elements; W is (outs, ins) row-major. @param bias 0 = none
 */
export function gemvRows(
  rows: i32, outs: i32, ins: i32,
  w: usize, wrs: i32,
  x: usize, xrs: i32,
  bias: usize,
  y: usize, yrs: i32,
  accumulate: bool,
): void {
  const ws = <usize>wrs << 2;
  let o = 0;
  if (outs * wrs >= FAR) {
    const quarter = outs >> 2;
    const step = ws * <usize>quarter, next = <usize>quarter << 2;
    for (; o < quarter; o++) {
      const b = bias ? bias + (<usize>o << 2) : 0;
      for (let r = 0; r < rows; r++) {
        const sum = dot4(ins, w, step, x + (<usize>(r * xrs) << 2));
        const to = y + (<usize>(r * yrs + o) << 2);
        put(f32x4.extract_lane(sum, 0), b, to, accumulate);
        put(f32x4.extract_lane(sum, 1), b ? b + next : 0, to + next, accumulate);
        put(f32x4.extract_lane(sum, 2), b ? b + 2 * next : 0, to + 2 * next, accumulate);
        put(f32x4.extract_lane(sum, 3), b ? b + 3 * next : 0, to + 3 * next, accumulate);
      }
      w += ws;
    }
    o = quarter << 2;
    w += 3 * step;
  }
  for (; o + 4 <= outs; o += 4) {
    for (let r = 0; r < rows; r++) {
      let sum = dot4(ins, w, ws, x + (<usize>(r * xrs) << 2));
      const to = y + (<usize>(r * yrs + o) << 2);
      if (bias) sum = f32x4.add(sum, v128.load(bias + (<usize>o << 2)));
      if (accumulate) sum = f32x4.add(sum, v128.load(to));
      v128.store(to, sum);
    }
    w += ws << 2;
  }
  for (; o < outs; o++) {
    for (let r = 0; r < rows; r++) {
      put(dot(ins, w, x + (<usize>(r * xrs) << 2)), bias ? bias + (<usize>o << 2) : 0, y + (<usize>(r * yrs + o) << 2), accumulate);
    }
    w += ws;
  }
}

/** y = W x (+ bias) (+ y): one row of `gemvRows` with adjacent x and y. */
export function gemv(outs: i32, ins: i32, w: usize, wrs: i32, x: usize, bias: usize, y: usize, accumulate: bool): void {
  gemvRows(1, outs, ins, w, wrs, x, 0, bias, y, 0, accumulate);
}

/**
 * y[o] = sum_k x[k] W[k, o] (+ y[o]): the same with W (ins, outs) row-major, as in probabilities times values.
 *
 * @param wrs row stride in elements
 */
export function gemvT(outs: i32, ins: i32, w: usize, wrs: i32, x: usize, y: usize, accumulate: bool): void {
  if (!accumulate) memory.fill(y, 0, <usize>outs << 2);
  const ws = <usize>wrs << 2;
  const body = <usize>(outs & ~3) << 2;
  const end = <usize>outs << 2;
  // Four rows together, of a large matrix one from each quarter: see `gemvRows`.
  const quarter = ins >> 2;
  const far = ins * wrs >= FAR;
  const step = far ? ws * <usize>quarter : ws, xStep: usize = far ? <usize>quarter << 2 : 4;
  for (let n = 0; n < quarter; n++) {
    const w1 = w + step;
    const w2 = w1 + step;
    const w3 = w2 + step;
    const a0 = load<f32>(x), a1 = load<f32>(x + xStep), a2 = load<f32>(x + 2 * xStep), a3 = load<f32>(x + 3 * xStep);
    const x0 = f32x4.splat(a0);
    const x1 = f32x4.splat(a1);
    const x2 = f32x4.splat(a2);
    const x3 = f32x4.splat(a3);
    let o: usize = 0;
    for (; o < body; o += 16) {
      const s = madd(x1, v128.load(w1 + o), f32x4.mul(x0, v128.load(w + o)));
      const t = madd(x3, v128.load(w3 + o), madd(x2, v128.load(w2 + o), v128.load(y + o)));
      v128.store(y + o, f32x4.add(s, t));
    }
    for (; o < end; o += 4) {
      store<f32>(y + o, load<f32>(y + o) + (a0 * load<f32>(w + o) + a1 * load<f32>(w1 + o) + (a2 * load<f32>(w2 + o) + a3 * load<f32>(w3 + o))));
    }
    w += far ? ws : ws << 2;
    x += far ? 4 : 16;
  }
  if (far) {
    w += 3 * step;
    x += 3 * xStep;
  }
  for (let k = quarter << 2; k < ins; k++) {
    const x0 = v128.load32_splat(x);
    let o: usize = 0;
    for (; o < body; o += 16) v128.store(y + o, f32x4.add(v128.load(y + o), f32x4.mul(x0, v128.load(w + o))));
    for (; o < end; o += 4) store<f32>(y + o, load<f32>(y + o) + load<f32>(x) * load<f32>(w + o));
    w += ws;
    x += 4;
  }
}
