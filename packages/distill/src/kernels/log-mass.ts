import * as tf from '@tensorflow/tfjs-core';
import { defineOp } from '@bytelm/core';
import { log1p } from './elementary.js';
import { foldHalvesGradWebGpu, foldHalvesWebGpu, logMassGradWebGpu, logMassWebGpu } from './log-mass-webgpu.js';

/** Far below every logit, and finite: a mask of −∞ makes NaN. */
const OUT = -1e30;

interface LogSum {
  /** (N, 1) log Σ exp. */
  lse: tf.Tensor;
  /** (N, V) each entry's share. */
  share: tf.Tensor;
}

function logSum(x: tf.Tensor): LogSum {
  const top = tf.max(x, -1, true);
  const e = tf.exp(tf.sub(x, top));
  const sum = tf.sum(e, -1, true);
  return { lse: tf.add(tf.log(sum), top), share: tf.div(e, sum) };
}

/** `log Σ_{v in set} softmax(logits)_v`; logits (N, V), set (V) of 0 and 1 → (N). */
export const logMassOp = defineOp<'logits' | 'set', object>({
  name: 'LogMass',
  inputs: ['logits', 'set'],
  portable: ({ logits, set }) => [tf.squeeze(tf.sub(logSum(within(logits!, set!)).lse, logSum(logits!).lse), [-1])],
  kernels: { webgpu: logMassWebGpu },
  gradient: ({ dys: [dy], inputs: { logits, set } }) => ({ logits: logMassGradOp({ logits, set, dy }, {})[0] }),
});

/** dlogits (N, V). */
export const logMassGradOp = defineOp<'logits' | 'set' | 'dy', object>({
  name: 'LogMassGrad',
  inputs: ['logits', 'set', 'dy'],
  portable: ({ logits, set, dy }) => [tf.mul(tf.expandDims(dy!, -1), tf.sub(logSum(within(logits!, set!)).share, logSum(logits!).share))],
  kernels: { webgpu: logMassGradWebGpu },
});

const within = (logits: tf.Tensor, set: tf.Tensor): tf.Tensor => tf.add(tf.mul(logits, set), tf.mul(tf.sub(1, set), OUT));

/** Two halves of logits (N, 2V) to log-probabilities (N, V) of either: `log(softmax[v] + softmax[v + V])`. */
export const foldHalvesOp = defineOp<'logits', object>({
  name: 'FoldHalves',
  inputs: ['logits'],
  portable: ({ logits }) => {
    const { a, b } = halves(logits!);
    // log(e^a + e^b) by the larger of the two.
    const joint = tf.add(tf.maximum(a, b), log1p(tf.exp(tf.neg(tf.abs(tf.sub(a, b))))));
    return [tf.sub(joint, logSum(logits!).lse)];
  },
  kernels: { webgpu: foldHalvesWebGpu },
  gradient: ({ dys: [dy], inputs: { logits } }) => ({ logits: foldHalvesGradOp({ logits, dy }, {})[0] }),
});

/** dlogits (N, 2V). */
export const foldHalvesGradOp = defineOp<'logits' | 'dy', object>({
  name: 'FoldHalvesGrad',
  inputs: ['logits', 'dy'],
  portable: ({ logits, dy }) => {
    const { a, b } = halves(logits!);
    const first = tf.sigmoid(tf.sub(a, b));
    const both = tf.concat([tf.mul(dy!, first), tf.mul(dy!, tf.sub(1, first))], -1);
    return [tf.sub(both, tf.mul(tf.sum(dy!, -1, true), logSum(logits!).share))];
  },
  kernels: { webgpu: foldHalvesGradWebGpu },
});

function halves(x: tf.Tensor): { a: tf.Tensor; b: tf.Tensor } {
  const [N, W] = x.shape as [number, number];
  return { a: tf.slice(x, [0, 0], [N, W / 2]), b: tf.slice(x, [0, W / 2], [N, W / 2]) };
}
