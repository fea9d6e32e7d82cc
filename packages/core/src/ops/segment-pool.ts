import type * as tf from '@tensorflow/tfjs-core';
import { checkShape, type Dims } from '../check-shape.js';
import { ShapeError } from '../errors.js';
import type { PoolMode } from '../kernels/segment-pool/naive.js';
import { segmentPoolOp } from '../kernels/segment-pool/op.js';

export type { PoolMode };

/**
 * Pools runs of rows into segments: chunks out of bytes.
 *
 * @param x (B, L, D) float32. @param ids (B, L) int32, the segment of each row: never falling along a sequence, except that rows with
 * -1 (or `num` and more) are ignored.
 * @param num segments per sequence. Empty ones are 0.
 * @param mode the gradient of `max` and `min` is split evenly among ties.
 * @returns (B, num, D)
 * @throws ShapeError
 */
export function segmentPool(x: tf.Tensor, ids: tf.Tensor, num: number, mode: PoolMode): tf.Tensor3D {
  const dims: Dims = {};
  checkShape('segmentPool', x, 'x', '(B, L, D)', dims, 'float32');
  checkShape('segmentPool', ids, 'ids', '(B, L)', dims, 'int32');
  if (!Number.isInteger(num) || num < 0) throw new ShapeError(`[segmentPool] \`num\`: expected a whole number of segments, got ${num}. Hint: the largest id plus 1.`);
  return segmentPoolOp({ x, ids }, { num, mode })[0] as tf.Tensor3D;
}
