import * as tf from '@tensorflow/tfjs-core';
import { ShapeError } from '../errors.js';
import { matMulOp } from '../kernels/mat-mul/op.js';

/**
 * Matrix product with exact batches: `y[g] = op(a[g]) op(b[g])`. Replaces tf.matMul, whose batch broadcasting is wrong on some backends
 * and whose gradient is slow on wasm; here every layout and batch is equally fast.
 *
 * @param a (..., m, k), or (..., k, m) with `transposeA`; float32.
 * @param b (..., k, n), or (..., n, k) with `transposeB`, with the leading axes of `a`; or two axes only, shared by all batches.
 * @returns (..., m, n). k = 0 gives zeros. Differentiable in both.
 * @throws ShapeError
 * @example
 * const scores = matMul(q, k, { transposeB: true }); // (B, H, T, P) x (B, H, S, P) -> (B, H, T, S)
 */
export function matMul(a: tf.Tensor, b: tf.Tensor, { transposeA = false, transposeB = false }: { transposeA?: boolean; transposeB?: boolean } = {}): tf.Tensor {
  check(a, b, transposeA, transposeB);
  if (b.rank === 2 && a.rank > 2 && transposeA) {
    const axes = a.shape.map((_, i) => i);
    return matMulOp({ a: tf.transpose(a, [...axes.slice(0, -2), a.rank - 1, a.rank - 2]), b }, { transposeA: false, transposeB })[0];
  }
  return matMulOp({ a, b }, { transposeA, transposeB })[0];
}

function check(a: tf.Tensor, b: tf.Tensor, transposeA: boolean, transposeB: boolean): void {
  const show = (t: tf.Tensor, flip: boolean) => `(${t.shape.join(', ')})${flip ? ' transposed' : ''}`;
  const fail = (expected: string, hint: string): never => {
    throw new ShapeError(`[matMul] expected ${expected}, got a ${show(a, transposeA)} and b ${show(b, transposeB)}. Hint: ${hint}`);
  };
  if (a.rank < 2 || b.rank < 2) fail('two tensors of rank 2 or more', 'reshape a vector to one row or column.');
  for (const t of [a, b]) if (t.dtype !== 'float32') throw new ShapeError(`[matMul] expected dtype float32, got ${t.dtype}. Hint: tf.cast(x, 'float32').`);
  const lead = (t: tf.Tensor) => t.shape.slice(0, -2).join();
  if (b.rank > 2 && lead(a) !== lead(b)) fail('equal leading axes, or b with two axes', 'tile the smaller operand; batches are never broadcast.');
  const inner = a.shape[a.rank - (transposeA ? 2 : 1)];
  if (inner !== b.shape[b.rank - (transposeB ? 1 : 2)]) fail('equal inner sizes (..., m, k) x (..., k, n)', 'check transposeA and transposeB.');
}
