import type * as tf from '@tensorflow/tfjs-core';
import { ShapeError } from '../errors.js';
import { splitLastOp } from '../kernels/split/op.js';

/**
 * Cuts the last axis into parts. Like `tf.split`, but fast on wasm in both directions.
 *
 * @param x (..., W) float32. @param sizes 1 to 8 widths that sum to W.
 * @returns tensors (..., sizes[i]).
 * @throws ShapeError
 */
export function splitLast(x: tf.Tensor, sizes: readonly number[]): tf.Tensor[] {
  const width = x.shape[x.rank - 1] ?? 0;
  const total = sizes.reduce((a, b) => a + b, 0);
  if (!sizes.length || sizes.length > 8 || total !== width || sizes.some((s) => !(s > 0))) {
    throw new ShapeError(`[splitLast] \`sizes\`: expected 1 to 8 positive widths that sum to ${width}, the last axis of x (${x.shape.join(', ')}), got [${sizes.join(', ')}].`);
  }
  return splitLastOp({ x }, { sizes });
}
