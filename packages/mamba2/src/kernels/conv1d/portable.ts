import * as tf from '@tensorflow/tfjs-core';
import type { ConvAttrs, ConvInput } from './attrs.js';

type Inputs = { [K in ConvInput]?: tf.Tensor };

/** x with its K-1 earlier inputs in front, (B, K-1+L, C): zeros, or the initial state. */
export function withHistory({ x, weight, initialState }: Inputs): tf.Tensor3D {
  const before = weight!.shape[1]! - 1;
  return (initialState ? tf.concat([initialState, x!], 1) : tf.pad(x!, [[0, 0], [before, 0], [0, 0]])) as tf.Tensor3D;
}

/** For each tap the factor (B, L, 1) that drops inputs of another document; the history belongs to document 0. */
export function tapMasks({ weight, documentIds }: Inputs): tf.Tensor[] | undefined {
  if (!documentIds) return undefined;
  const width = weight!.shape[1]!;
  const [batch, length] = documentIds.shape as [number, number];
  const ids = tf.pad(documentIds as tf.Tensor2D, [[0, 0], [width - 1, 0]]);
  return Array.from({ length: width }, (_, k) =>
    tf.expandDims(tf.cast(tf.equal(tf.slice(ids, [0, k], [batch, length]), documentIds), 'float32'), 2),
  );
}

/** Column k of the weight as (C). */
export const tap = (weight: tf.Tensor, k: number): tf.Tensor => tf.reshape(tf.slice(weight, [0, k], [weight.shape[0]!, 1]), [weight.shape[0]!]);

/** The convolution before its activation: `bias + sum_k weight[:, k] * long[t + k]`. */
export function preActivation(inputs: Inputs, long: tf.Tensor3D, masks: tf.Tensor[] | undefined): tf.Tensor {
  const { x, weight, bias } = inputs;
  const [batch, length, channels] = x!.shape as [number, number, number];
  let sum: tf.Tensor | undefined = bias;
  for (let k = 0; k < weight!.shape[1]!; k++) {
    const window = tf.slice(long, [0, k, 0], [batch, length, channels]);
    const term = tf.mul(masks ? tf.mul(window, masks[k]!) : window, tap(weight!, k));
    sum = sum ? tf.add(sum, term) : term;
  }
  return sum!;
}

/** Rows of `long` that a row's last state is made of: (B*(K-1)) int32 indices into its (B*(K-1+L)) positions. */
function lastRows(lengths: tf.Tensor, before: number, total: number): tf.Tensor1D {
  const batch = lengths.shape[0]!;
  const start = tf.add(lengths, tf.mul(tf.range(0, batch, 1, 'int32'), tf.scalar(total, 'int32')));
  return tf.reshape(tf.add(tf.reshape(start, [batch, 1]), tf.reshape(tf.range(0, before, 1, 'int32'), [1, before])), [batch * before]);
}

/** The last K-1 real inputs, oldest first, (B, K-1, C). */
export function lastState({ lengths }: Inputs, long: tf.Tensor3D, length: number): tf.Tensor {
  const [batch, total, channels] = long.shape;
  const before = total - length;
  if (!lengths || before === 0) return tf.slice(long, [0, length, 0], [batch, before, channels]);
  const flat = tf.reshape(long, [batch * total, channels]);
  return tf.reshape(tf.gather(flat, lastRows(lengths, before, total)), [batch, before, channels]);
}

export function convPortable(inputs: Inputs, attrs: ConvAttrs): tf.Tensor[] {
  const long = withHistory(inputs);
  const pre = preActivation(inputs, long, tapMasks(inputs));
  const y = attrs.silu ? tf.mul(pre, tf.sigmoid(pre)) : pre;
  return attrs.returnState ? [y, lastState(inputs, long, inputs.x!.shape[1]!)] : [y];
}
