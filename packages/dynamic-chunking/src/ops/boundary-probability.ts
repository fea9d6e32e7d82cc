import * as tf from '@tensorflow/tfjs-core';
import { checkShape } from '@bytelm/core';
import { boundaryProbabilityOp } from '../kernels/boundary-probability/op.js';

/**
 * How much a vector differs from the one before it: `p = clamp((1 − cos(q, k)) / 2, 0, 1)`.
 *
 * @param q (..., D) the previous position's vector through the query projection.
 * @param k (..., D) the current position's vector through the key projection.
 * @returns (...) probabilities that the current position opens a chunk.
 * @throws ShapeError
 * @source H-Net, arXiv 2507.07955, eq. 4, in the order of the published code: q of the previous position, k of the current one.
 */
export function boundaryProbability(q: tf.Tensor, k: tf.Tensor): tf.Tensor {
  const dims = checkShape('boundaryProbability', q, 'q', '(..., D)');
  checkShape('boundaryProbability', k, 'k', '(..., D)', dims);
  const D = dims.D!;
  const [p] = boundaryProbabilityOp({ q: tf.reshape(q, [-1, D]), k: tf.reshape(k, [-1, D]) }, {});
  return tf.reshape(p!, q.shape.slice(0, -1));
}
