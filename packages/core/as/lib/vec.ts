/**
 * Elementary functions on four floats. No tables (a data segment would overwrite tfjs' memory); the scalar forms compute the same
 * bits, so the tail of a loop agrees with its body. NaN stays NaN everywhere.
 */

/** e^x, relative error below 2e-7; 0 below -87.33, clamped at e^88 above 88. */
// @ts-ignore: decorator
@inline
export function exp4(v: v128): v128 {
  const x = f32x4.min(v, f32x4.splat(88));
  // Adding 1.5 * 2^23 rounds to an integer n; the extra 127 makes the low bits the biased exponent of 2^n.
  const z = f32x4.add(f32x4.mul(x, f32x4.splat(1.44269504)), f32x4.splat(12583039));
  const e = i32x4.shl(z, 23);
  const n = f32x4.sub(z, f32x4.splat(12583039));
  const r = f32x4.add(f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375))), f32x4.mul(n, f32x4.splat(2.1219444e-4)));
  let p = f32x4.add(f32x4.splat(0.041900236), f32x4.mul(r, f32x4.splat(0.0082898876)));
  p = f32x4.add(f32x4.splat(0.16667655), f32x4.mul(r, p));
  p = f32x4.add(f32x4.splat(0.49999133), f32x4.mul(r, p));
  p = f32x4.add(f32x4.splat(0.9999997), f32x4.mul(r, p));
  const y = f32x4.add(e, f32x4.mul(f32x4.mul(e, r), p));
  return v128.andnot(y, f32x4.lt(x, f32x4.splat(-87.33)));
}

/** ln x for normal positive x (not 0, not subnormal). */
// @ts-ignore: decorator
@inline
export function log4(x: v128): v128 {
  // x = m * 2^n with m in [sqrt(1/2), sqrt(2)), then a degree-9 polynomial in m - 1 (coefficients of Cephes' logf).
  const shifted = i32x4.sub(x, i32x4.splat(0x3f3504f3));
  const n = f32x4.convert_i32x4_s(i32x4.shr_s(shifted, 23));
  const m = i32x4.sub(x, v128.and(shifted, i32x4.splat(0xff800000)));
  const f = f32x4.sub(m, f32x4.splat(1));
  const f2 = f32x4.mul(f, f);
  let p = f32x4.add(f32x4.mul(f32x4.splat(7.0376836292e-2), f), f32x4.splat(-1.151461031e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(1.1676998740e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(-1.2420140846e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(1.4249322787e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(-1.6668057665e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(2.0000714765e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(-2.4999993993e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(3.3333331174e-1));
  let y = f32x4.mul(f32x4.mul(f, f2), p);
  y = f32x4.sub(y, f32x4.mul(n, f32x4.splat(2.12194440e-4)));
  y = f32x4.sub(y, f32x4.mul(f2, f32x4.splat(0.5)));
  y = f32x4.add(f32x4.add(f, y), f32x4.mul(n, f32x4.splat(0.693359375)));
  // The bit trick loses NaN; adding 0 * x brings it back.
  return f32x4.add(y, f32x4.mul(x, f32x4.splat(0)));
}

/** 1 / (1 + e^-x). */
// @ts-ignore: decorator
@inline
export function sigmoid4(x: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))));
}

/** x * sigmoid(x). */
// @ts-ignore: decorator
@inline
export function silu4(x: v128): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x))));
}

/** d silu / dx = s (1 + x (1 - s)) for x and s = sigmoid(x). */
// @ts-ignore: decorator
@inline
export function siluSlope4(x: v128, s: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.mul(s, f32x4.add(one, f32x4.mul(x, f32x4.sub(one, s))));
}

/** ln(1 + e^x), relative error below 3e-7 also where the result is tiny. */
// @ts-ignore: decorator
@inline
export function softplus4(x: v128): v128 {
  const one = f32x4.splat(1);
  const u = exp4(f32x4.neg(f32x4.abs(x)));
  const w = f32x4.add(one, u);
  // ln(1+u) = ln w + (what rounding 1+u to w lost) / w
  const log1p = f32x4.add(log4(w), f32x4.div(f32x4.sub(u, f32x4.sub(w, one)), w));
  return f32x4.add(f32x4.max(x, f32x4.splat(0)), log1p);
}

// @ts-ignore: decorator
@inline
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

// @ts-ignore: decorator
@inline
export function log1(x: f32): f32 {
  return f32x4.extract_lane(log4(f32x4.splat(x)), 0);
}

// @ts-ignore: decorator
@inline
export function sigmoid1(x: f32): f32 {
  return f32x4.extract_lane(sigmoid4(f32x4.splat(x)), 0);
}

// @ts-ignore: decorator
@inline
export function silu1(x: f32): f32 {
  return f32x4.extract_lane(silu4(f32x4.splat(x)), 0);
}

// @ts-ignore: decorator
@inline
export function siluSlope1(x: f32, s: f32): f32 {
  return s * (<f32>1 + x * (<f32>1 - s));
}

// @ts-ignore: decorator
@inline
export function softplus1(x: f32): f32 {
  return f32x4.extract_lane(softplus4(f32x4.splat(x)), 0);
}

/** Sum of the four lanes. */
// @ts-ignore: decorator
@inline
export function hsum4(v: v128): f32 {
  return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/** The sums of the lanes of four vectors, in order. */
// @ts-ignore: decorator
@inline
export function hsum4x4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
}

/** Largest of the four lanes. */
// @ts-ignore: decorator
@inline
export function hmax4(v: v128): f32 {
  return max(max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)), max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)));
}

/** Sum over x[i] y[i], n floats. */
export function dot(n: i32, x: usize, y: usize): f32 {
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    s0 = f32x4.add(s0, f32x4.mul(v128.load(x), v128.load(y)));
    s1 = f32x4.add(s1, f32x4.mul(v128.load(x, 16), v128.load(y, 16)));
    x += 32;
    y += 32;
  }
  let s = hsum4(f32x4.add(s0, s1));
  for (; i < n; i++) {
    s += load<f32>(x) * load<f32>(y);
    x += 4;
    y += 4;
  }
  return s;
}

/** y[i] += a x[i], n floats. */
export function axpy(n: i32, a: f32, x: usize, y: usize): void {
  const a4 = f32x4.splat(a);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    v128.store(y, f32x4.add(v128.load(y), f32x4.mul(a4, v128.load(x))));
    x += 16;
    y += 16;
  }
  for (; i < n; i++) {
    store<f32>(y, load<f32>(y) + a * load<f32>(x));
    x += 4;
    y += 4;
  }
}
