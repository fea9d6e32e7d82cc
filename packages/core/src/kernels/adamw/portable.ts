import * as tf from '@tensorflow/tfjs-core';
import type { OpInputs } from '../../op/define-op.js';

export type AdamWInput = 'param' | 'm' | 'v' | 'grad' | 'scale';

export interface AdamWAttrs {
  lr: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  /** Number of this update, from 1. */
  step: number;
}

/** The numbers that every form of the update shares. */
export function adamwFactors({ lr, beta1, beta2, weightDecay, step }: AdamWAttrs): { keep: number; rate: number; root: number } {
  return { keep: 1 - lr * weightDecay, rate: lr / (1 - beta1 ** step), root: 1 / Math.sqrt(1 - beta2 ** step) };
}

/** New [param, m, v]. */
export function adamwPortable({ param, m, v, grad, scale }: OpInputs<AdamWInput>, attrs: AdamWAttrs): tf.Tensor[] {
  const { beta1, beta2, eps } = attrs;
  const { keep, rate, root } = adamwFactors(attrs);
  const g = scale ? tf.mul(grad!, scale) : grad!;
  const nextM = tf.add(tf.mul(m!, beta1), tf.mul(g, 1 - beta1));
  const nextV = tf.add(tf.mul(v!, beta2), tf.mul(tf.square(g), 1 - beta2));
  const update = tf.div(tf.mul(nextM, rate), tf.add(tf.mul(tf.sqrt(nextV), root), eps));
  return [tf.sub(keep === 1 ? param! : tf.mul(param!, keep), update), nextM, nextV];
}

/** `sum` + Σx². */
export function sumSquaresPortable({ x, sum }: OpInputs<'x' | 'sum'>): tf.Tensor[] {
  // tfjs' sums of empty tensors are undefined on wasm and webgpu.
  const own = x!.size ? tf.sum(tf.square(x!)) : tf.scalar(0);
  return [sum ? tf.add(sum, own) : own];
}
