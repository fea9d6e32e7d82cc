import * as tf from '@tensorflow/tfjs-core';
import type { OpInputs } from '../../op/define-op.js';
import { matMulSizes, type MatMulAttrs } from './sizes.js';

/** tf.reshape, but not where it would change nothing: it is an op like others, and products are many. */
const shaped = <T extends tf.Tensor>(x: tf.Tensor, shape: number[]): T => (x.shape.join() === shape.join() ? x : tf.reshape(x, shape)) as T;

/** tf.matMul with equal batches only: its own broadcasting is wrong, and empty inner sizes give uninitialised memory on wasm and webgpu. */
export function portableMatMul({ a, b }: OpInputs<'a' | 'b'>, attrs: MatMulAttrs): tf.Tensor[] {
  const { transposeA, transposeB } = attrs;
  const { batch, m, k, n, shape } = matMulSizes(a!.shape, b!.shape, attrs);
  if (batch * m * k * n === 0) return [tf.zeros(shape)];
  const lead = b!.rank === 2 ? [] : [batch];
  const a2 = shaped<tf.Tensor2D>(a!, [...lead, ...(transposeA ? [k, m] : [m, k])]);
  const b2 = shaped<tf.Tensor2D>(b!, [...lead, ...(transposeB ? [n, k] : [k, n])]);
  return [shaped(tf.matMul(a2, b2, transposeA, transposeB), shape)];
}
