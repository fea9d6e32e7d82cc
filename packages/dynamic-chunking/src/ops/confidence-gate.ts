import * as tf from '@tensorflow/tfjs-core';
import { checkShape } from '@bytelm/core';
import { confidenceGateOp } from '../kernels/confidence-gate/op.js';

/**
 * `u · ste(c)`, c the router's confidence in what it decided (p at boundaries, 1 − p elsewhere) and `ste(c) = c + stopgrad(1 − c)`:
 * multiplies by 1 going forward, and sends the gradient of a multiplication by c to the probabilities.
 *
 * @param u (B, L, D) float32.  @param p (B, L) probabilities.  @param boundaryMask (B, L) float32, 1 at boundaries.
 * @returns (B, L, D), equal to `u`.
 * @throws ShapeError
 * @source H-Net, arXiv 2507.07955, section 2.3 (straight-through estimator).
 */
export function confidenceGate(u: tf.Tensor3D, p: tf.Tensor2D, boundaryMask: tf.Tensor2D): tf.Tensor3D {
  const dims = checkShape('confidenceGate', u, 'u', '(B, L, D)', {}, 'float32');
  checkShape('confidenceGate', p, 'p', '(B, L)', dims, 'float32');
  checkShape('confidenceGate', boundaryMask, 'boundaryMask', '(B, L)', dims, 'float32');
  return confidenceGateOp({ u, p, mask: boundaryMask }, {})[0] as tf.Tensor3D;
}
