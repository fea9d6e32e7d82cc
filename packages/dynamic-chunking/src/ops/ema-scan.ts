import * as tf from '@tensorflow/tfjs-core';
import { checkShape } from '@bytelm/core';
import { emaOp } from '../kernels/ema/op.js';

/** Probabilities are kept this far away from 0 and 1 inside the average, as in the published code. */
export const EMA_CLAMP = 1e-4;

export interface EmaScanOptions {
  /** (B, D) value before the first position. Default: zeros. */
  initialState?: tf.Tensor2D | undefined;
  /** (B, M) int32: the average restarts where the id changes. */
  documentIds?: tf.Tensor2D | undefined;
  /** Default 1e-4. */
  min?: number;
  /** Default 1 − 1e-4. */
  max?: number;
}

/**
 * Exponential moving average over chunks: `z_t = P_t x_t + (1 − P_t) z_{t−1}`, `P = clamp(p, 1e-4, 1 − 1e-4)`.
 * Gradients reach `x`, `p` (zero outside the clamp) and `initialState`.
 *
 * @param x (B, M, D) float32.
 * @param p (B, M) float32.
 * @returns (B, M, D).
 * @throws ShapeError
 * @source H-Net, arXiv 2507.07955, section 2.3 (smoothing module), in exact float32 (the published kernel rounds operands to bf16).
 */
export function emaScan(x: tf.Tensor3D, p: tf.Tensor2D, options: EmaScanOptions = {}): tf.Tensor3D {
  const dims = checkShape('emaScan', x, 'x', '(B, M, D)', {}, 'float32');
  checkShape('emaScan', p, 'p', '(B, M)', dims, 'float32');
  if (options.initialState) checkShape('emaScan', options.initialState, 'initialState', '(B, D)', dims, 'float32');
  if (options.documentIds) checkShape('emaScan', options.documentIds, 'documentIds', '(B, M)', dims, 'int32');
  const { initialState, documentIds, min = EMA_CLAMP, max = 1 - EMA_CLAMP } = options;
  const inputs = { x, p, ...(initialState && { initialState }), ...(documentIds && { documentIds }) };
  return emaOp(inputs, { min, max })[0] as tf.Tensor3D;
}
