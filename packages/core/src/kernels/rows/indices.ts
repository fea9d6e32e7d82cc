import * as tf from '@tensorflow/tfjs-core';

/**
 * Row numbers of a flattened table: idx (B, L) into rows of (B, M, ·) becomes b*M + idx; anything outside 0..M-1 becomes `none`.
 * Exact on webgpu as long as B*M < 2^24.
 */
export function flatIndices(idx: tf.Tensor, rows: number, none: number): tf.Tensor1D {
  const [batch, length] = idx.shape;
  const isInside = tf.logicalAnd(tf.greaterEqual(idx, tf.scalar(0, 'int32')), tf.less(idx, tf.scalar(rows, 'int32')));
  const starts = tf.tensor2d(Int32Array.from({ length: batch }, (_, b) => b * rows), [batch, 1], 'int32');
  const flat = batch === 1 ? idx : tf.add(idx, starts);
  return tf.reshape(tf.where(isInside, flat, tf.fill([batch, length], none, 'int32')), [batch * length]);
}
