import * as tf from '@tensorflow/tfjs-core';
import { checkShape } from '@bytelm/core';
import { emaGatherOp } from '../kernels/ema-gather/op.js';
import { EMA_CLAMP, type EmaScanOptions } from './ema-scan.js';

/**
 * `emaScan` and the way back to positions in one: position t gets the average at chunk `index[t]`, zeros where that is −1.
 *
 * @param x (B, M, D) float32.  @param p (B, M) float32.
 * @param index (B, L) int32, non-decreasing, below M: `Segmentation.visibleChunk()`.
 * @returns (B, L, D). Gradients reach `x`, `p` and `initialState`.
 * @throws ShapeError
 */
export function emaGather(x: tf.Tensor3D, p: tf.Tensor2D, index: tf.Tensor2D, options: EmaScanOptions = {}): tf.Tensor3D {
  const dims = checkShape('emaGather', x, 'x', '(B, M, D)', {}, 'float32');
  checkShape('emaGather', p, 'p', '(B, M)', dims, 'float32');
  checkShape('emaGather', index, 'index', '(B, L)', dims, 'int32');
  const { initialState, documentIds, min = EMA_CLAMP, max = 1 - EMA_CLAMP } = options;
  if (initialState) checkShape('emaGather', initialState, 'initialState', '(B, D)', dims, 'float32');
  if (documentIds) checkShape('emaGather', documentIds, 'documentIds', '(B, M)', dims, 'int32');
  return tf.tidy(() => {
    const [y] = emaGatherOp({ x, p, initialState, documentIds, index }, { min, max });
    return y as tf.Tensor3D;
  });
}
