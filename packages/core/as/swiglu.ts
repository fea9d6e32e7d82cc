import { load4, store4 } from './lib/rows';
import { sigmoid4, silu4, siluSlope4 } from './lib/vec';

export function silu(n: i32, x: usize, y: usize): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    store4(y + at, silu4(load4(x + at, n - i)), n - i);
  }
}

export function siluGrad(n: i32, x: usize, dy: usize, dx: usize): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    const left = n - i;
    const v = load4(x + at, left);
    store4(dx + at, f32x4.mul(load4(dy + at, left), siluSlope4(v, sigmoid4(v))), left);
  }
}

/** y (rows, width) = silu(gate) up; rows of gate and up are `stride` floats apart, so both may be halves of one packed tensor. */
export function swiglu(rows: i32, width: i32, stride: i32, gate: usize, up: usize, y: usize): void {
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < width; i += 4) {
      const at = <usize>i << 2;
      const left = width - i;
      store4(y + at, f32x4.mul(silu4(load4(gate + at, left)), load4(up + at, left)), left);
    }
    gate += <usize>stride << 2;
    up += <usize>stride << 2;
    y += <usize>width << 2;
  }
}

/** dgate, dup, laid out as gate and up. */
export function swigluGrad(rows: i32, width: i32, stride: i32, gate: usize, up: usize, dy: usize, dgate: usize, dup: usize): void {
  const step = <usize>stride << 2;
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < width; i += 4) {
      const at = <usize>i << 2;
      const left = width - i;
      const g = load4(gate + at, left);
      const sig = sigmoid4(g);
      const d = load4(dy + at, left);
      store4(dup + at, f32x4.mul(d, f32x4.mul(g, sig)), left);
      store4(dgate + at, f32x4.mul(f32x4.mul(d, load4(up + at, left)), siluSlope4(g, sig)), left);
    }
    gate += step;
    up += step;
    dgate += step;
    dup += step;
    dy += <usize>width << 2;
  }
}
