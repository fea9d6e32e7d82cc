import { load4, store4, zeroRow } from './lib/rows';
import { hsum4, sigmoid4, siluSlope4 } from './lib/vec';

/** Rows are (rows, groups, size); weights repeat every `groups * size` values; r is (rows, groups). */

// @ts-ignore: decorator
@inline
function rootScale(sumOfSquares: v128, size: i32, eps: f32): f32 {
  return <f32>1 / sqrt<f32>(hsum4(sumOfSquares) / <f32>size + eps);
}

/** y = x scale w, one group; y may be x. */
// @ts-ignore: decorator
@inline
function scaled(size: i32, x: usize, scale: f32, w: usize, y: usize): void {
  const scale4 = f32x4.splat(scale);
  for (let i = 0; i < size; i += 4) {
    const at = <usize>i << 2;
    const left = size - i;
    store4(y + at, f32x4.mul(f32x4.mul(load4(x + at, left), scale4), load4(w + at, left)), left);
  }
}

/** y = x r w; with `residual` (0 = none) x + residual takes the place of x and is written to `sum`. */
export function rmsNorm(rows: i32, groups: i32, size: i32, eps: f32, x: usize, residual: usize, weight: usize, y: usize, sum: usize, r: usize): void {
  const bytes = <usize>size << 2;
  for (let row = 0; row < rows; row++) {
    let w = weight;
    for (let g = 0; g < groups; g++) {
      let squares = f32x4.splat(0);
      for (let i = 0; i < size; i += 4) {
        const at = <usize>i << 2;
        let v = load4(x + at, size - i);
        if (residual) {
          v = f32x4.add(v, load4(residual + at, size - i));
          store4(sum + at, v, size - i);
        }
        squares = f32x4.add(squares, f32x4.mul(v, v));
      }
      const scale = rootScale(squares, size, eps);
      store<f32>(r, scale);
      scaled(size, residual ? sum : x, scale, w, y);
      x += bytes;
      y += bytes;
      w += bytes;
      r += 4;
      if (residual) {
        residual += bytes;
        sum += bytes;
      }
    }
  }
}

/** dx = r dy w - x r^3 mean(dy w x) (+ extra, 0 = none); dw = sum over rows of dy x r. */
export function rmsNormGrad(rows: i32, groups: i32, size: i32, x: usize, weight: usize, r: usize, dy: usize, extra: usize, dx: usize, dw: usize): void {
  const bytes = <usize>size << 2;
  zeroRow(groups * size, dw);
  for (let row = 0; row < rows; row++) {
    let w = weight;
    let dwg = dw;
    for (let g = 0; g < groups; g++) {
      let products = f32x4.splat(0);
      for (let i = 0; i < size; i += 4) {
        const at = <usize>i << 2;
        const left = size - i;
        products = f32x4.add(products, f32x4.mul(f32x4.mul(load4(dy + at, left), load4(w + at, left)), load4(x + at, left)));
      }
      const scale = load<f32>(r);
      const scale4 = f32x4.splat(scale);
      // In this order nothing overflows for rows of tiny values, where r is large.
      const pull = f32x4.splat(scale * (scale * (scale * (hsum4(products) / <f32>size))));
      for (let i = 0; i < size; i += 4) {
        const at = <usize>i << 2;
        const left = size - i;
        const v = load4(x + at, left);
        const scaled = f32x4.mul(load4(dy + at, left), scale4);
        let d = f32x4.sub(f32x4.mul(scaled, load4(w + at, left)), f32x4.mul(v, pull));
        if (extra) d = f32x4.add(d, load4(extra + at, left));
        store4(dx + at, d, left);
        store4(dwg + at, f32x4.add(load4(dwg + at, left), f32x4.mul(scaled, v)), left);
      }
      x += bytes;
      dy += bytes;
      dx += bytes;
      w += bytes;
      dwg += bytes;
      r += 4;
      if (extra) extra += bytes;
    }
  }
}

/** y = norm(x silu(z)) w, or norm(x) w silu(z) when `normFirst`. */
export function gatedNorm(rows: i32, groups: i32, size: i32, eps: f32, normFirst: bool, x: usize, z: usize, weight: usize, y: usize): void {
  const bytes = <usize>size << 2;
  for (let row = 0; row < rows; row++) {
    let w = weight;
    for (let g = 0; g < groups; g++) {
      let squares = f32x4.splat(0);
      for (let i = 0; i < size; i += 4) {
        const at = <usize>i << 2;
        const left = size - i;
        const v = load4(x + at, left);
        const gate = load4(z + at, left);
        const gated = f32x4.mul(v, f32x4.mul(gate, sigmoid4(gate)));
        store4(y + at, gated, left);
        const normed = normFirst ? v : gated;
        squares = f32x4.add(squares, f32x4.mul(normed, normed));
      }
      scaled(size, y, rootScale(squares, size, eps), w, y);
      x += bytes;
      z += bytes;
      y += bytes;
      w += bytes;
    }
  }
}

/** dx, dz, dw of `gatedNorm`; dz holds sigmoid(z) of its row until the second pass. */
export function gatedNormGrad(
  rows: i32, groups: i32, size: i32, eps: f32, normFirst: bool,
  x: usize, z: usize, weight: usize, dy: usize,
  dx: usize, dz: usize, dw: usize,
): void {
  const bytes = <usize>size << 2;
  zeroRow(groups * size, dw);
  for (let row = 0; row < rows; row++) {
    let w = weight;
    let dwg = dw;
    for (let g = 0; g < groups; g++) {
      // n: what is normalized (x, or x silu(z)); d: the gradient that reaches the norm (dy silu(z), or dy).
      let squares = f32x4.splat(0);
      let products = f32x4.splat(0);
      for (let i = 0; i < size; i += 4) {
        const at = <usize>i << 2;
        const left = size - i;
        const gate = load4(z + at, left);
        const sig = sigmoid4(gate);
        const s = f32x4.mul(gate, sig);
        const v = load4(x + at, left);
        const up = load4(dy + at, left);
        const n = normFirst ? v : f32x4.mul(v, s);
        const d = normFirst ? f32x4.mul(up, s) : up;
        squares = f32x4.add(squares, f32x4.mul(n, n));
        products = f32x4.add(products, f32x4.mul(f32x4.mul(d, load4(w + at, left)), n));
        store4(dz + at, sig, left);
      }
      const scale = rootScale(squares, size, eps);
      const scale4 = f32x4.splat(scale);
      const pull = f32x4.splat(scale * (scale * (scale * (hsum4(products) / <f32>size))));
      for (let i = 0; i < size; i += 4) {
        const at = <usize>i << 2;
        const left = size - i;
        const gate = load4(z + at, left);
        const sig = load4(dz + at, left);
        const s = f32x4.mul(gate, sig);
        const slope = siluSlope4(gate, sig);
        const v = load4(x + at, left);
        const up = load4(dy + at, left);
        const weight4 = load4(w + at, left);
        const n = normFirst ? v : f32x4.mul(v, s);
        const d = f32x4.mul(normFirst ? f32x4.mul(up, s) : up, scale4);
        const dn = f32x4.sub(f32x4.mul(d, weight4), f32x4.mul(n, pull));
        store4(dwg + at, f32x4.add(load4(dwg + at, left), f32x4.mul(d, n)), left);
        if (normFirst) {
          store4(dx + at, dn, left);
          store4(dz + at, f32x4.mul(f32x4.mul(up, slope), f32x4.mul(f32x4.mul(v, scale4), weight4)), left);
        } else {
          store4(dx + at, f32x4.mul(dn, s), left);
          store4(dz + at, f32x4.mul(f32x4.mul(dn, v), slope), left);
        }
      }
      x += bytes;
      z += bytes;
      dy += bytes;
      dx += bytes;
      dz += bytes;
      w += bytes;
      dwg += bytes;
    }
  }
}
