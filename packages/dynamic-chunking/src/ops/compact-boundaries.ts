import * as tf from '@tensorflow/tfjs-core';
import { checkShape, ShapeError } from '@bytelm/core';
import { compactOp } from '../kernels/compact/op.js';

/** Boundaries as lists; all int32. */
export interface CompactBoundaries {
  /** (B, M): the position of each row's j-th boundary, −1 behind its last. Boundaries beyond M are left out. */
  index: tf.Tensor2D;
  /** (B, L): the boundaries up to and including each position, minus 1. */
  chunk: tf.Tensor2D;
  /** (B). */
  count: tf.Tensor1D;
}

/**
 * Positions of boundaries from their mask, without reading it back: what selection (`index`) and its way back (`chunk`) need. Not differentiable.
 *
 * @param mask (B, L) float32, above 0.5 at boundaries; probabilities do as well.
 * @param maxChunks M, at least 1; L is always enough.
 * @throws ShapeError
 */
export function compactBoundaries(mask: tf.Tensor2D, maxChunks: number): CompactBoundaries {
  checkShape('compactBoundaries', mask, 'mask', '(B, L)', {}, 'float32');
  if (!(Number.isInteger(maxChunks) && maxChunks >= 1)) throw new ShapeError(`[compactBoundaries] maxChunks: expected a positive whole number, got ${maxChunks}.`);
  const [index, chunk, count] = compactOp({ mask }, { maxChunks }) as [tf.Tensor2D, tf.Tensor2D, tf.Tensor1D];
  return { index, chunk, count };
}
