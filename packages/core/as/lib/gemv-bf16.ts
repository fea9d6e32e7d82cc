import { at as f } from './elementwise';
import { FAR } from './gemv';
import { madd } from './madd';
import { hsum4x4 } from './vec';

/** Of each 8 floats first those at even places, then those at odd ones: as two halves of a word come out of four words. The rest (n & 7) stays. */
export function splitPairs(n: i32, x: usize, y: usize): void {
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const a = v128.load(f(x, i)), b = v128.load(f(x, i), 16);
    v128.store(f(y, i), v128.shuffle<f32>(a, b, 0, 2, 4, 6));
    v128.store(f(y, i), v128.shuffle<f32>(a, b, 1, 3, 5, 7), 16);
  }
  for (; i < n; i++) store<f32>(f(y, i), load<f32>(f(x, i)));
}

// @ts-ignore: decorator
@inline
function low(words: usize): f32 {
  return reinterpret<f32>(load<i32>(words) << 16);
}

// @ts-ignore: decorator
@inline
function high(words: usize): f32 {
  return reinterpret<f32>(load<i32>(words) & 0xffff0000);
}

/** Four dot products of split x with rows of words `step` bytes apart. */
// @ts-ignore: decorator
@inline
function dot4(ins: i32, w: usize, step: usize, x: usize): v128 {
  const w1 = w + step, w2 = w1 + step, w3 = w2 + step;
  const top = i32x4.splat(0xffff0000);
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
  const body = <usize>(ins & ~7) << 1, end = <usize>ins << 1;
  let k: usize = 0;
  for (; k < body; k += 16) {
    const even = v128.load(x), odd = v128.load(x, 16);
    const a = v128.load(w + k), b = v128.load(w1 + k), c = v128.load(w2 + k), d = v128.load(w3 + k);
    s0 = madd(even, i32x4.shl(a, 16), s0);
    t0 = madd(odd, v128.and(a, top), t0);
    s1 = madd(even, i32x4.shl(b, 16), s1);
    t1 = madd(odd, v128.and(b, top), t1);
    s2 = madd(even, i32x4.shl(c, 16), s2);
    t2 = madd(odd, v128.and(c, top), t2);
    s3 = madd(even, i32x4.shl(d, 16), s3);
    t3 = madd(odd, v128.and(d, top), t3);
    x += 32;
  }
  let sum = hsum4x4(f32x4.add(s0, t0), f32x4.add(s1, t1), f32x4.add(s2, t2), f32x4.add(s3, t3));
  for (; k < end; k += 4) {
    sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(x), f32x4(low(w + k), low(w1 + k), low(w2 + k), low(w3 + k))));
    sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(x, 4), f32x4(high(w + k), high(w1 + k), high(w2 + k), high(w3 + k))));
    x += 8;
  }
  return sum;
}

// @ts-ignore: decorator
@inline
function put(sum: f32, bias: usize, y: usize): void {
  store<f32>(y, bias ? sum + load<f32>(bias) : sum);
}

/**
 * `gemvRows` with a weight in bf16, two values to a word: y[r, o] = sum_k x[r, k] W[o, k] (+ bias[o]).
 *
 * @param words (outs, ins / 2); ins is even. @param x rows `xrs` floats apart, each as `splitPairs` leaves it. @param bias 0 = none
 */
export function gemvRowsBf16(rows: i32, outs: i32, ins: i32, words: usize, x: usize, xrs: i32, bias: usize, y: usize, yrs: i32): void {
  const ws = <usize>ins << 1;
  const isFar = outs * (ins >> 1) >= FAR, quarter = outs >> 2;
  const between = isFar ? quarter : 1, next = <usize>between << 2, step = ws * <usize>between;
  let o = 0, w = words;
  for (let i = 0; i < quarter; i++) {
    const b = bias ? f(bias, o) : 0;
    for (let r = 0; r < rows; r++) {
      const sum = dot4(ins, w, step, f(x, r * xrs));
      const to = f(y, r * yrs + o);
      put(f32x4.extract_lane(sum, 0), b, to);
      put(f32x4.extract_lane(sum, 1), b ? b + next : 0, to + next);
      put(f32x4.extract_lane(sum, 2), b ? b + 2 * next : 0, to + 2 * next);
      put(f32x4.extract_lane(sum, 3), b ? b + 3 * next : 0, to + 3 * next);
    }
    o += isFar ? 1 : 4;
    w += isFar ? ws : ws << 2;
  }
  // The last rows one by one: a step of 0 makes all four the same.
  for (o = quarter << 2; o < outs; o++)
    for (let r = 0; r < rows; r++) put(f32x4.extract_lane(dot4(ins, words + ws * <usize>o, 0, f(x, r * xrs)), 0), bias ? f(bias, o) : 0, f(y, r * yrs + o));
}
