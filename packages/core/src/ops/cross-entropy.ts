import type * as tf from '@tensorflow/tfjs-core';
import { checkShape, type Dims } from '../check-shape.js';
import { linearCrossEntropyOp } from '../kernels/cross-entropy/linear.js';
import { crossEntropyOp } from '../kernels/cross-entropy/op.js';

export interface CrossEntropyOptions {
  /** Rows with this label count nothing and get no gradient. Default -100. */
  ignoreIndex?: number;
  /** Weight c of an added `c * (log normalizer)^2` per row. Default 0. */
  zLoss?: number;
  /** `mean` over the rows that count (0 if none), the default; `none`: one loss per row, 0 for ignored ones. */
  reduction?: 'mean' | 'none';
}

const attrsOf = ({ ignoreIndex = -100, zLoss = 0, reduction = 'mean' }: CrossEntropyOptions) => ({ ignoreIndex, zLoss, isMean: reduction === 'mean' });

/**
 * Cross-entropy in nats: `log sum exp(logits) - logits[label]`.
 *
 * @param logits (N, V) float32. @param labels (N) int32, 0..V-1 or `ignoreIndex`.
 * @returns a scalar, or (N) with reduction `none`.
 * @throws ShapeError; DataError for a label outside the classes on backends that keep labels on the host (cpu, wasm).
 * @example
 * const bitsPerByte = tf.div(crossEntropy(logits, labels), Math.LN2);
 */
export function crossEntropy(logits: tf.Tensor, labels: tf.Tensor, options: CrossEntropyOptions = {}): tf.Tensor {
  const dims: Dims = {};
  checkShape('crossEntropy', logits, 'logits', '(N, V)', dims, 'float32');
  checkShape('crossEntropy', labels, 'labels', '(N)', dims, 'int32');
  return crossEntropyOp({ logits, labels }, attrsOf(options))[0];
}

/**
 * Cross-entropy of `hidden weight^T` without ever holding all logits: rows are taken in blocks, and the backward pass computes them again.
 *
 * @param hidden (N, D) float32. @param weight (V, D) float32. @param labels (N) int32.
 * @returns as `crossEntropy`; differentiable in `hidden` and `weight`.
 * @throws ShapeError; DataError as `crossEntropy`.
 */
export function linearCrossEntropy(hidden: tf.Tensor, weight: tf.Tensor, labels: tf.Tensor, options: CrossEntropyOptions = {}): tf.Tensor {
  const dims: Dims = {};
  checkShape('linearCrossEntropy', hidden, 'hidden', '(N, D)', dims, 'float32');
  checkShape('linearCrossEntropy', weight, 'weight', '(V, D)', dims, 'float32');
  checkShape('linearCrossEntropy', labels, 'labels', '(N)', dims, 'int32');
  return linearCrossEntropyOp({ hidden, weight, labels }, attrsOf(options))[0];
}
