import { gatherRows, segmentPool, type Segmentation } from '@bytelm/core';
import type * as tf from '@tensorflow/tfjs-core';

/**
 * Bytes → patches: the largest of each feature over the bytes of a patch, BLT's pooling. Bytes of a patch that is still open are in none.
 * The gradient is split evenly among ties.
 *
 * @param x (B, L, D) float32. @returns (B, M, D); patches without bytes are 0.
 * @throws ShapeError
 * @source BLT, arXiv 2412.09871, section 3.2.2.
 */
export function segmentMax(x: tf.Tensor3D, seg: Segmentation): tf.Tensor3D {
  return segmentPool(x, seg.pooledInto(), seg.maxChunks, 'max');
}

/** Bytes → patches: the mean over the bytes of a patch. (B, L, D) → (B, M, D). @throws ShapeError */
export function segmentMean(x: tf.Tensor3D, seg: Segmentation): tf.Tensor3D {
  return segmentPool(x, seg.pooledInto(), seg.maxChunks, 'mean');
}

/** Patches → bytes: for each byte the last patch that is complete there. (B, M, D) → (B, L, D); the gradient is a scatter-add. @throws ShapeError */
export function segmentGather(chunks: tf.Tensor3D, seg: Segmentation): tf.Tensor3D {
  return gatherRows(chunks, seg.visibleChunk());
}
