import { at as f } from '../../../core/as/lib/elementwise';
import { GEMM_SCRATCH_BYTES } from '../../../core/as/lib/gemm';
import { project, projectBf16 } from '../../../core/as/lib/project';
import { hsum4 } from '../../../core/as/lib/vec';

/**
 * y (R, outs) = x (R, ins) Wᵀ (+ bias), rows of y `stride` floats apart.
 * @param packed W holds bf16, two to a word. @param scratch GEMM_SCRATCH_BYTES
 */
export function projectStored(packed: bool, rows: i32, outs: i32, ins: i32, x: usize, w: usize, bias: usize, y: usize, stride: i32, scratch: usize): void {
  if (packed) projectBf16(rows, outs, ins, x, w, bias, y, stride, scratch, GEMM_SCRATCH_BYTES >> 2);
  else project(rows, outs, ins, x, w, bias, y, stride, scratch);
}

/** x = x / sqrt(mean(x²) + eps) · weight, one row of n in place. */
export function normRow(n: i32, x: usize, weight: usize, eps: f32): void {
  const body = n & ~3;
  let squares4 = f32x4.splat(0);
  for (let i = 0; i < body; i += 4) {
    const s = v128.load(f(x, i));
    squares4 = f32x4.add(squares4, f32x4.mul(s, s));
  }
  let squares = hsum4(squares4);
  for (let i = body; i < n; i++) squares += load<f32>(f(x, i)) * load<f32>(f(x, i));
  const scale = <f32>1 / sqrt<f32>(squares / <f32>n + eps);
  const scale4 = f32x4.splat(scale);
  for (let i = 0; i < body; i += 4) v128.store(f(x, i), f32x4.mul(f32x4.mul(v128.load(f(x, i)), scale4), v128.load(f(weight, i))));
  for (let i = body; i < n; i++) store<f32>(f(x, i), load<f32>(f(x, i)) * scale * load<f32>(f(weight, i)));
}

/** sum = hidden (+ residual, 0 = none), n floats. */
export function addTo(n: i32, hidden: usize, residual: usize, sum: usize): void {
  if (!residual) {
    memory.copy(sum, hidden, <usize>n << 2);
    return;
  }
  const body = n & ~3;
  for (let i = 0; i < body; i += 4) v128.store(f(sum, i), f32x4.add(v128.load(f(hidden, i)), v128.load(f(residual, i))));
  for (let i = body; i < n; i++) store<f32>(f(sum, i), load<f32>(f(hidden, i)) + load<f32>(f(residual, i)));
}

/** sum = hidden (+ residual, 0 = none) and y = sum / sqrt(mean(sum²) + eps) · weight, for R rows of n. */
export function addNorm(rows: i32, n: i32, hidden: usize, residual: usize, weight: usize, eps: f32, sum: usize, y: usize): void {
  const body = n & ~3;
  for (let r = 0; r < rows; r++) {
    const at = r * n;
    let squares4 = f32x4.splat(0);
    for (let i = 0; i < body; i += 4) {
      let s = v128.load(f(hidden, at + i));
      if (residual) s = f32x4.add(s, v128.load(f(residual, at + i)));
      v128.store(f(sum, at + i), s);
      squares4 = f32x4.add(squares4, f32x4.mul(s, s));
    }
    let squares = hsum4(squares4);
    for (let i = body; i < n; i++) {
      let s = load<f32>(f(hidden, at + i));
      if (residual) s += load<f32>(f(residual, at + i));
      store<f32>(f(sum, at + i), s);
      squares += s * s;
    }
    const scale = <f32>1 / sqrt<f32>(squares / <f32>n + eps);
    const scale4 = f32x4.splat(scale);
    for (let i = 0; i < body; i += 4) v128.store(f(y, at + i), f32x4.mul(f32x4.mul(v128.load(f(sum, at + i)), scale4), v128.load(f(weight, i))));
    for (let i = body; i < n; i++) store<f32>(f(y, at + i), load<f32>(f(sum, at + i)) * scale * load<f32>(f(weight, i)));
  }
}
