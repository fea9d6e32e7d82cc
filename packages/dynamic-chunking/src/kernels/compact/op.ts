import { defineOp, scan, segmentPool, type OpInputs } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { compactWebGpu } from './webgpu.js';

export interface CompactAttrs {
  /** Width of the list of positions. */
  maxChunks: number;
}

/** mask (B, L) float32, 1 at boundaries → int32: their positions (B, maxChunks), −1 behind the last; boundaries up to each position minus 1 (B, L); their number (B). */
export const compactOp = defineOp<'mask', CompactAttrs>({
  name: 'CompactBoundaries',
  inputs: ['mask'],
  portable: compactPortable,
  kernels: { webgpu: compactWebGpu },
});

/** Counts and positions stay below 2^24, so floats are exact. */
function compactPortable({ mask }: OpInputs<'mask'>, { maxChunks }: CompactAttrs): tf.Tensor[] {
  const [batch, length] = mask!.shape as [number, number];
  const isSet = tf.cast(tf.greater(mask!, 0.5), 'float32');
  const { y, finalState } = scan(tf.expandDims(isSet, 2), tf.onesLike(isSet));
  const count = tf.reshape(finalState, [batch]);
  const chunk = tf.cast(tf.sub(tf.reshape(y, [batch, length]), 1), 'int32');
  const positions = tf.mul(tf.reshape(tf.range(0, length), [1, length, 1]), tf.expandDims(isSet, 2));
  const index = tf.reshape(segmentPool(positions as tf.Tensor3D, chunk as tf.Tensor2D, maxChunks, 'sum'), [batch, maxChunks]);
  const isReal = tf.less(tf.reshape(tf.range(0, maxChunks), [1, maxChunks]), tf.reshape(count, [batch, 1]));
  return [tf.cast(tf.where(isReal, index, tf.fill([batch, maxChunks], -1)), 'int32'), chunk, tf.cast(count, 'int32')];
}
