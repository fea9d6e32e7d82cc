import * as tf from '@tensorflow/tfjs-core';
import { matMul, type OpInputs } from '@bytelm/core';
import { HIDDEN, visibleKeys, type AttentionAttrs, type AttentionInput } from './mask.js';

/** The definition: all scores at once, key and value heads repeated for the query heads that share them. */
export function attentionNaive(inputs: OpInputs<AttentionInput>, attrs: AttentionAttrs): tf.Tensor[] {
  const { q, k, v } = inputs;
  const [B, queries, H] = q!.shape as [number, number, number, number];
  const keys = k!.shape[1]!;
  const heads = (x: tf.Tensor) => {
    const [b, t, h, d] = x.shape as [number, number, number, number];
    const perHead = tf.reshape(tf.tile(tf.reshape(x, [b, t, h, 1, d]), [1, 1, 1, H / h, 1]), [b, t, H, d]);
    return tf.reshape(tf.transpose(perHead, [0, 2, 1, 3]), [b * H, t, d]);
  };
  const scores = tf.reshape(tf.mul(matMul(heads(q!), heads(k!), { transposeB: true }), attrs.scale), [B, H, queries, keys]);
  const visible = visibleKeys({ i0: 0, i1: queries, j0: 0, j1: keys }, inputs, attrs);
  const seen = visible ? tf.tile(tf.cast(visible, 'float32'), [B / visible.shape[0], H, 1, 1]) : tf.ones([B, H, queries, keys]);
  const masked = tf.add(tf.mul(scores, seen), tf.mul(tf.sub(1, seen), HIDDEN));
  const top = tf.max(masked, -1, true);
  const weights = tf.mul(tf.exp(tf.sub(masked, top)), seen);
  const total = tf.sum(weights, -1, true);
  const none = tf.cast(tf.equal(total, 0), 'float32');
  const p = tf.div(weights, tf.add(total, none));
  const y = matMul(tf.reshape(p, [B * H, queries, keys]), heads(v!));
  const lse = tf.mul(tf.add(top, tf.log(tf.add(total, none))), tf.sub(1, none));
  return [tf.transpose(tf.reshape(y, [B, H, queries, v!.shape[3]!]), [0, 2, 1, 3]), tf.reshape(lse, [B, H, queries])];
}
