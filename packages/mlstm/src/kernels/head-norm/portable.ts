import * as tf from '@tensorflow/tfjs-core';
import type { HeadNormAttrs, HeadNormGradInput, HeadNormInput } from './attrs.js';

/** Normalized heads (rows, H, V), their inverse deviations (rows, H, 1), and the open gate (rows, H*V). */
function normalize({ h, gate }: { [K in HeadNormInput]?: tf.Tensor }, { eps }: HeadNormAttrs) {
  const centered = tf.sub(h!, tf.mean(h!, 2, true));
  const r = tf.rsqrt(tf.add(tf.mean(tf.square(centered), 2, true), eps));
  return { normed: tf.mul(centered, r), r, open: tf.sigmoid(gate!) };
}

export function headNormPortable(inputs: { [K in HeadNormInput]?: tf.Tensor }, attrs: HeadNormAttrs): tf.Tensor[] {
  const { normed, open } = normalize(inputs, attrs);
  return [tf.mul(tf.mul(tf.reshape(normed, open.shape), inputs.weight!), open)];
}

/** dh, dgate, dweight. */
export function headNormGradPortable(inputs: { [K in HeadNormGradInput]?: tf.Tensor }, attrs: HeadNormAttrs): tf.Tensor[] {
  const { normed, r, open } = normalize(inputs, attrs);
  const { h, weight, dy } = inputs;
  const flat = tf.reshape(normed, open.shape);
  const opened = tf.mul(dy!, open);
  const d = tf.reshape(tf.mul(opened, weight!), h!.shape);
  const pull = tf.add(tf.mean(d, 2, true), tf.mul(normed, tf.mean(tf.mul(d, normed), 2, true)));
  const dGate = tf.mul(tf.mul(opened, tf.sub(1, open)), tf.mul(flat, weight!));
  return [tf.mul(r, tf.sub(d, pull)), dGate, tf.sum(tf.mul(opened, flat), 0)];
}
