import { load4, store4, zeroRow } from '../../core/as/lib/rows';
import { hsum4, sigmoid4 } from '../../core/as/lib/vec';

/** 1 in the first `left` lanes: what lies behind a row must not enter its variance. */
// @ts-ignore: decorator
@inline
function real4(left: i32): v128 {
  return f32x4.convert_i32x4_s(i32x4.neg(i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(left))));
}

function mean(size: i32, x: usize): f32 {
  let total = f32x4.splat(0);
  for (let i = 0; i < size; i += 4) total = f32x4.add(total, load4(x + (<usize>i << 2), size - i));
  return hsum4(total) / <f32>size;
}

/** 1 / sqrt(variance + eps). */
function inverseDeviation(size: i32, eps: f32, x: usize, mean: f32): f32 {
  const m = f32x4.splat(mean);
  let squares = f32x4.splat(0);
  for (let i = 0; i < size; i += 4) {
    const c = f32x4.mul(f32x4.sub(load4(x + (<usize>i << 2), size - i), m), real4(size - i));
    squares = f32x4.add(squares, f32x4.mul(c, c));
  }
  return <f32>1 / sqrt<f32>(hsum4(squares) / <f32>size + eps);
}

/** y = layerNorm(h) weight sigmoid(gate); rows are (heads, size), weight repeats each row. y may be h. */
export function headNorm(rows: i32, heads: i32, size: i32, eps: f32, h: usize, gate: usize, weight: usize, y: usize): void {
  const bytes = <usize>size << 2;
  for (let row = 0; row < rows; row++) {
    let w = weight;
    for (let x = 0; x < heads; x++) {
      const m = mean(size, h);
      const r = f32x4.splat(inverseDeviation(size, eps, h, m));
      const m4 = f32x4.splat(m);
      for (let i = 0; i < size; i += 4) {
        const at = <usize>i << 2;
        const left = size - i;
        const normed = f32x4.mul(f32x4.sub(load4(h + at, left), m4), r);
        store4(y + at, f32x4.mul(f32x4.mul(normed, load4(w + at, left)), sigmoid4(load4(gate + at, left))), left);
      }
      h += bytes;
      gate += bytes;
      w += bytes;
      y += bytes;
    }
  }
}

/** dh, dgate, dweight. */
export function headNormGrad(
  rows: i32, heads: i32, size: i32, eps: f32, h: usize, gate: usize, weight: usize, dy: usize, dh: usize, dGate: usize, dWeight: usize,
): void {
  const bytes = <usize>size << 2;
  zeroRow(heads * size, dWeight);
  for (let row = 0; row < rows; row++) {
    let w = weight;
    let dw = dWeight;
    for (let x = 0; x < heads; x++) {
      const m = mean(size, h);
      const scale = inverseDeviation(size, eps, h, m);
      const m4 = f32x4.splat(m);
      const r = f32x4.splat(scale);
      // dh holds the gradient of the normalized values until the second pass.
      let total = f32x4.splat(0);
      let products = f32x4.splat(0);
      for (let i = 0; i < size; i += 4) {
        const at = <usize>i << 2;
        const left = size - i;
        const normed = f32x4.mul(f32x4.sub(load4(h + at, left), m4), r);
        const open = sigmoid4(load4(gate + at, left));
        const opened = f32x4.mul(load4(dy + at, left), open);
        const weight4 = load4(w + at, left);
        const d = f32x4.mul(opened, weight4);
        total = f32x4.add(total, d);
        products = f32x4.add(products, f32x4.mul(d, normed));
        store4(dw + at, f32x4.add(load4(dw + at, left), f32x4.mul(opened, normed)), left);
        store4(dGate + at, f32x4.mul(f32x4.mul(d, normed), f32x4.sub(f32x4.splat(1), open)), left);
        store4(dh + at, d, left);
      }
      const shift = f32x4.splat(hsum4(total) / <f32>size);
      const pull = f32x4.splat(hsum4(products) / <f32>size);
      for (let i = 0; i < size; i += 4) {
        const at = <usize>i << 2;
        const left = size - i;
        const normed = f32x4.mul(f32x4.sub(load4(h + at, left), m4), r);
        const d = f32x4.sub(f32x4.sub(load4(dh + at, left), shift), f32x4.mul(normed, pull));
        store4(dh + at, f32x4.mul(d, r), left);
      }
      h += bytes;
      gate += bytes;
      dy += bytes;
      dh += bytes;
      dGate += bytes;
      w += bytes;
      dw += bytes;
    }
  }
}
