import { gemm, GEMM_SCRATCH_BYTES } from './lib/gemm';
import { gemvT } from './lib/gemv';
import { projectBf16 } from './lib/project';
import { copyRow } from './lib/rows';
import { dot } from './lib/vec';

/** Numbers of `PACKED_FORMATS` in src/kernels/packed/format.ts. */
const BF16: i32 = 0;
const F16: i32 = 1;
const INT8: i32 = 2;

/** Rows of x up to which each weight row is multiplied as soon as it is unpacked. */
const FEW_ROWS: i32 = 6;
/** Weight rows that are unpacked together for the blocked product. */
const TILE: i32 = 64;

/** Half floats in the low 16 bits of each lane. Infinities and NaN are not expected in weights and come out large. */
// @ts-ignore: decorator
@inline
function half4(h: v128): v128 {
  const magnitude = i32x4.shl(v128.and(h, i32x4.splat(0x7fff)), 13);
  const sign = i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16);
  // The exponent is moved by a product, which also brings subnormals into place.
  return v128.or(f32x4.mul(magnitude, f32x4.splat(reinterpret<f32>(0x77800000))), sign);
}

// @ts-ignore: decorator
@inline
function half1(h: i32): f32 {
  const magnitude = reinterpret<f32>((h & 0x7fff) << 13) * reinterpret<f32>(0x77800000);
  return h & 0x8000 ? -magnitude : magnitude;
}

/** 2 n floats out of n words of two. */
function unpackHalves(bf16: bool, n: i32, words: usize, y: usize): void {
  const high = i32x4.splat(0xffff0000);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const w = v128.load(words);
    const even = bf16 ? i32x4.shl(w, 16) : half4(w);
    const odd = bf16 ? v128.and(w, high) : half4(i32x4.shr_u(w, 16));
    v128.store(y, v128.shuffle<f32>(even, odd, 0, 4, 1, 5));
    v128.store(y, v128.shuffle<f32>(even, odd, 2, 6, 3, 7), 16);
    words += 16;
    y += 32;
  }
  for (; i < n; i++) {
    const w = load<i32>(words);
    store<f32>(y, bf16 ? reinterpret<f32>(w << 16) : half1(w));
    store<f32>(y, bf16 ? reinterpret<f32>(w & 0xffff0000) : half1(w >>> 16), 4);
    words += 4;
    y += 8;
  }
}

/** `columns` floats of integers of `bits` with a scale for each `group`. */
function unpackIntegers(bits: i32, columns: i32, words: usize, scales: usize, group: i32, y: usize): void {
  const per = 32 / bits;
  let left = 0;
  let scale: f32 = 0;
  for (let k = 0; k < columns; k += per) {
    const w = load<i32>(words);
    for (let j = 0; j < per; j++) {
      if (left == 0) {
        scale = load<f32>(scales);
        scales += 4;
        left = group;
      }
      store<f32>(y, <f32>((w << (32 - bits * (j + 1))) >> (32 - bits)) * scale);
      left--;
      y += 4;
    }
    words += 4;
  }
}

// @ts-ignore: decorator
@inline
function perWord(format: i32): i32 {
  return format <= F16 ? 2 : format == INT8 ? 4 : 8;
}

/** rows x columns floats; words and scales of adjacent rows are adjacent. */
export function unpack(format: i32, rows: i32, columns: i32, words: usize, scales: usize, group: i32, y: usize): void {
  if (format <= F16) {
    unpackHalves(format == BF16, (rows * columns) >> 1, words, y);
    return;
  }
  const bits = format == INT8 ? 8 : 4;
  for (let r = 0; r < rows; r++) {
    unpackIntegers(bits, columns, words, scales, group, y);
    words += <usize>(columns / perWord(format)) << 2;
    scales += <usize>(columns / group) << 2;
    y += <usize>columns << 2;
  }
}

export function scratchBytes(rows: i32, columns: i32): i32 {
  return rows <= FEW_ROWS ? (rows * columns) << 2 : GEMM_SCRATCH_BYTES + ((TILE * columns) << 2);
}

/** y (rows, N) = x (rows, K) unpack(words (N, ..))^T + bias (N, 0 = none). */
export function packedLinear(
  format: i32, rows: i32, N: i32, K: i32,
  x: usize, words: usize, scales: usize, group: i32, bias: usize, y: usize, scratch: usize,
): void {
  const wordRow = <usize>(K / perWord(format)) << 2;
  const scaleRow = group ? <usize>(K / group) << 2 : 0;
  if (rows <= FEW_ROWS && format == BF16) {
    projectBf16(rows, N, K, x, words, bias, y, N, scratch, rows * K);
    return;
  }
  if (rows <= FEW_ROWS) {
    for (let o = 0; o < N; o++) {
      unpack(format, 1, K, words, scales, group, scratch);
      for (let r = 0; r < rows; r++) {
        const sum = dot(K, scratch, x + (<usize>(r * K) << 2));
        store<f32>(y + (<usize>(r * N + o) << 2), bias ? sum + load<f32>(bias + (<usize>o << 2)) : sum);
      }
      words += wordRow;
      scales += scaleRow;
    }
    return;
  }
  const tile = scratch + <usize>GEMM_SCRATCH_BYTES;
  for (let o = 0; o < N; o += TILE) {
    const n = min(TILE, N - o);
    const to = y + (<usize>o << 2);
    unpack(format, n, K, words, scales, group, tile);
    if (bias) for (let r = 0; r < rows; r++) copyRow(n, bias + (<usize>o << 2), to + (<usize>(r * N) << 2));
    gemm(rows, n, K, x, K, 1, tile, 1, K, to, N, scratch, bias != 0);
    words += wordRow * <usize>n;
    scales += scaleRow * <usize>n;
  }
}

export function gradientScratchBytes(columns: i32): i32 {
  return GEMM_SCRATCH_BYTES + ((TILE * columns) << 2);
}

/** The gradient of x, dx (rows, K) = dy (rows, N) unpack(words (N, ..)): rows of the weight are unpacked a tile at a time, never all of it. */
export function packedLinearGradient(
  format: i32, rows: i32, N: i32, K: i32,
  dy: usize, words: usize, scales: usize, group: i32, dx: usize, scratch: usize,
): void {
  const wordRow = <usize>(K / perWord(format)) << 2;
  const scaleRow = group ? <usize>(K / group) << 2 : 0;
  const tile = scratch + <usize>GEMM_SCRATCH_BYTES;
  for (let o = 0; o < N; o += TILE) {
    const n = min(TILE, N - o);
    const from = dy + (<usize>o << 2);
    unpack(format, n, K, words, scales, group, tile);
    if (rows <= FEW_ROWS) {
      for (let r = 0; r < rows; r++) gemvT(K, n, tile, K, from + (<usize>(r * N) << 2), dx + (<usize>(r * K) << 2), o > 0);
    } else {
      gemm(rows, K, n, from, N, 1, tile, K, 1, dx, K, scratch, o > 0);
    }
    words += wordRow * <usize>n;
    scales += scaleRow * <usize>n;
  }
}
