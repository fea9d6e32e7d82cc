import { matMul } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { convGradOutputs, type ConvAttrs, type ConvGradInput, type ConvInput } from './attrs.js';
import { preActivation, tap, tapMasks, withHistory } from './portable.js';

type Inputs = { [K in ConvGradInput]?: tf.Tensor };

/** Backward pass of the convolution; the pre-activation is computed again. */
export function convGradPortable(inputs: Inputs, attrs: ConvAttrs): tf.Tensor[] {
  const { x, weight, dy, dState } = inputs;
  const [batch, length, channels] = x!.shape as [number, number, number];
  const width = weight!.shape[1]!;
  const long = withHistory(inputs);
  const masks = tapMasks(inputs);
  let dPre = dy!;
  if (attrs.silu) {
    const pre = preActivation(inputs, long, masks);
    const s = tf.sigmoid(pre);
    dPre = tf.mul(dy!, tf.mul(s, tf.add(1, tf.mul(pre, tf.sub(1, s)))));
  }
  let dLong: tf.Tensor | undefined = dState && stateGradient(inputs.lengths, dState, length);
  const dTaps: tf.Tensor[] = [];
  for (let k = 0; k < width; k++) {
    const masked = masks ? tf.mul(dPre, masks[k]!) : dPre;
    const term = tf.pad(tf.mul(masked, tap(weight!, k)), [[0, 0], [k, width - 1 - k], [0, 0]]);
    dLong = dLong ? tf.add(dLong, term) : term;
    dTaps.push(tf.sum(tf.mul(masked, tf.slice(long, [0, k, 0], [batch, length, channels])), [0, 1]));
  }
  const grads: { [K in ConvInput]?: () => tf.Tensor } = {
    x: () => tf.slice(dLong!, [0, width - 1, 0], [batch, length, channels]),
    weight: () => tf.stack(dTaps, 1),
    bias: () => tf.sum(dPre, [0, 1]),
    initialState: () => tf.slice(dLong!, [0, 0, 0], [batch, width - 1, channels]),
  };
  return convGradOutputs((n) => inputs[n] !== undefined).map((n) => grads[n]!());
}

/** The gradient of the last state put where its rows came from, (B, K-1+L, C). */
function stateGradient(lengths: tf.Tensor | undefined, dState: tf.Tensor, length: number): tf.Tensor {
  const before = dState.shape[1]!;
  if (!lengths) return tf.pad(dState, [[0, 0], [length, 0], [0, 0]]);
  const positions = tf.reshape(tf.range(0, before + length, 1, 'int32'), [1, before + length, 1]);
  const from = tf.add(tf.reshape(lengths, [-1, 1, 1]), tf.reshape(tf.range(0, before, 1, 'int32'), [1, 1, before]));
  return matMul(tf.cast(tf.equal(positions, from), 'float32') as tf.Tensor3D, dState as tf.Tensor3D);
}
