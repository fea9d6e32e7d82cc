import type * as tf from '@tensorflow/tfjs-core';
import { checkShape, type Dims } from '../check-shape.js';
import { linearOp } from '../kernels/linear/op.js';

/**
 * Linear layer `y = x W^T + bias` with the weight as checkpoints store it.
 *
 * @param x (..., K) float32. @param weight (N, K). @param bias (N).
 * @returns (..., N). Differentiable in all three; the weight's gradient is one product over all rows.
 * @throws ShapeError
 * @example
 * const y = linear(x, parameters['in_proj.weight']);
 */
export function linear(x: tf.Tensor, weight: tf.Tensor, bias?: tf.Tensor | null): tf.Tensor {
  const dims: Dims = {};
  checkShape('linear', x, 'x', '(..., K)', dims, 'float32');
  checkShape('linear', weight, 'weight', '(N, K)', dims, 'float32');
  if (bias) checkShape('linear', bias, 'bias', '(N)', dims, 'float32');
  return linearOp({ x, weight, bias: bias ?? undefined }, {})[0];
}
