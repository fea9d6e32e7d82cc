import { realMask } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { ssdSizes, stepSizes, type SsdAttrs, type SsdInput } from './attrs.js';
import { skipFactor } from './portable.js';

/** The definition: `S_t = exp(delta_t A) S_{t-1} + delta_t x_t B_t^T`, `y_t = S_t C_t + D x_t`, one token after another. */
export function ssdNaive(inputs: { [K in SsdInput]?: tf.Tensor }, attrs: SsdAttrs): tf.Tensor[] {
  const { batch, length, heads, headDim, groups, state } = ssdSizes(inputs.x!, inputs.B!);
  const delta = stepSizes(inputs.dt!, inputs.dtBias, realMask(inputs.lengths, length), attrs);
  const at = (t: tf.Tensor, i: number) => tf.squeeze(tf.slice(t, [0, i], [batch, 1]), [1]);
  const perHead = (t: tf.Tensor) =>
    tf.reshape(tf.tile(tf.expandDims(t, 2), [1, 1, heads / groups, 1]), [batch, heads, 1, state]);
  let s: tf.Tensor = inputs.initialState ?? tf.zeros([batch, heads, headDim, state]);
  let previousId: tf.Tensor = tf.zeros([batch], 'int32');
  const ys: tf.Tensor[] = [];
  for (let t = 0; t < length; t++) {
    if (inputs.documentIds) {
      const id = at(inputs.documentIds, t);
      s = tf.mul(s, tf.reshape(tf.cast(tf.equal(id, previousId), 'float32'), [batch, 1, 1, 1]));
      previousId = id;
    }
    const d = tf.reshape(at(delta, t), [batch, heads, 1, 1]);
    const x = tf.expandDims(at(inputs.x!, t), 3);
    s = tf.add(tf.mul(s, tf.exp(tf.mul(d, tf.reshape(inputs.A!, [1, heads, 1, 1])))), tf.mul(tf.mul(d, x), perHead(at(inputs.B!, t))));
    const y = tf.sum(tf.mul(s, perHead(at(inputs.C!, t))), 3);
    ys.push(inputs.D ? tf.add(y, tf.mul(tf.squeeze(x, [3]), skipFactor(inputs.D))) : y);
  }
  return attrs.returnFinalState ? [tf.stack(ys, 1), tf.clone(s)] : [tf.stack(ys, 1)];
}
