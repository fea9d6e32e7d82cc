import type * as tf from '@tensorflow/tfjs-core';
import { checkShape, type Dims } from '../check-shape.js';
import { scanOp } from '../kernels/scan/op.js';

export interface ScanOptions {
  /** (B, D): the state before the first step (after the last one with `reverse`). Default zeros. */
  initialState?: tf.Tensor;
  /** Run from the end: `h_t = a_t h_{t+1} + b_t`. */
  reverse?: boolean;
  /** (B) int32. Steps at t >= length are skipped: the state stays, `y` repeats it, nothing flows into their `a` and `b`. */
  lengths?: tf.Tensor;
  /** (B, L) int32. `a` acts as 0 at the first step of every document but the one that `initialState` enters. */
  documentIds?: tf.Tensor;
}

/**
 * First-order linear scan `h_t = a_t h_{t-1} + b_t`.
 *
 * @param b (B, L, D) float32. @param a (B, L), the same for all channels, or (B, L, D).
 * @returns `y` (B, L, D), all states; `finalState` (B, D). Differentiable in `b`, `a` and `initialState`.
 * @throws ShapeError
 * @example
 * const { y } = scan(tf.mul(x, tf.expandDims(p, 2)), tf.sub(1, p)); // moving average with weight p
 */
export function scan(b: tf.Tensor, a: tf.Tensor, { initialState, reverse = false, lengths, documentIds }: ScanOptions = {}): { y: tf.Tensor3D; finalState: tf.Tensor2D } {
  const dims: Dims = {};
  checkShape('scan', b, 'b', '(B, L, D)', dims, 'float32');
  checkShape('scan', a, 'a', a?.shape?.length === 2 ? '(B, L)' : '(B, L, D)', dims, 'float32');
  if (initialState) checkShape('scan', initialState, 'initialState', '(B, D)', dims, 'float32');
  if (lengths) checkShape('scan', lengths, 'lengths', '(B)', dims, 'int32');
  if (documentIds) checkShape('scan', documentIds, 'documentIds', '(B, L)', dims, 'int32');
  const [y, finalState] = scanOp({ b, a, h0: initialState, lengths, documentIds }, { reverse });
  return { y: y as tf.Tensor3D, finalState: finalState as tf.Tensor2D };
}
