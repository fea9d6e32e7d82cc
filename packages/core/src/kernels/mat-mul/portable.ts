import * as tf from '@tensorflow/tfjs-core';
import type { OpInputs } from '../../op/define-op.js';
import { matMulSizes, type MatMulAttrs } from './sizes.js';

/** tf.matMul with equal batches only: its own broadcasting is wrong, and empty inner sizes give uninitialised memory on wasm and webgpu. */
export function portableMatMul({ a, b }: OpInputs<'a' | 'b'>, attrs: MatMulAttrs): tf.Tensor[] {
  const { transposeA, transposeB } = attrs;
  const { batch, m, k, n, shape } = matMulSizes(a!.shape, b!.shape, attrs);
  if (batch * m * k * n === 0) return [tf.zeros(shape)];
  const lead = b!.rank === 2 ? [] : [batch];
  const a2: tf.Tensor2D = tf.reshape(a!, [...lead, ...(transposeA ? [k, m] : [m, k])] as [number, number]);
  const b2: tf.Tensor2D = tf.reshape(b!, [...lead, ...(transposeB ? [n, k] : [k, n])] as [number, number]);
  return [tf.reshape(tf.matMul(a2, b2, transposeA, transposeB), shape)];
}
