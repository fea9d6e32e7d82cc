import * as tf from '@tensorflow/tfjs-core';
import { defineOp, tensorflowKernel } from '@bytelm/core';

type Input = 'logits' | 'targets';

/** logits minus their row maximum, and the log of the sum of its exponentials, (N, V) and (N, 1). */
function shifted(logits: tf.Tensor) {
  const x = tf.sub(logits, tf.max(logits, 1, true));
  return { x, logSum: tf.log(tf.sum(tf.exp(x), 1, true)) };
}

/** p log p, 0 where p is. */
const plogp = (p: tf.Tensor): tf.Tensor => tf.mul(p, tf.log(tf.maximum(p, tf.fill(p.shape, 1e-30))));

/** KL divergence of softmax(logits) from `targets`, (N, V) each, rows of `targets` summing to 1, or to 0 (which cost nothing) → (N). Differentiable by `logits`. */
export const distributionDivergenceOp = defineOp<Input, object>({
  name: 'DistributionDivergence',
  inputs: ['logits', 'targets'],
  portable: ({ logits, targets }) => {
    const { x, logSum } = shifted(logits!);
    const total = tf.squeeze(tf.mul(logSum, tf.sum(targets!, 1, true)), [1]);
    return [tf.add(total, tf.sum(tf.sub(plogp(targets!), tf.mul(targets!, x)), 1))];
  },
  kernels: { tensorflow: tensorflowKernel<Input, object>('DistributionDivergence', { floats: ['logits', 'targets'], outputs: () => 1 }) },
  gradient: ({ dys: [dy], inputs: { logits, targets } }) => ({ logits: distributionDivergenceGradOp({ logits, targets, dy }, {})[0] }),
});

/** dlogits (N, V). */
export const distributionDivergenceGradOp = defineOp<Input | 'dy', object>({
  name: 'DistributionDivergenceGrad',
  inputs: ['logits', 'targets', 'dy'],
  portable: ({ logits, targets, dy }) => {
    const { x, logSum } = shifted(logits!);
    const softmax = tf.exp(tf.sub(x, logSum));
    return [tf.mul(tf.sub(tf.mul(softmax, tf.sum(targets!, 1, true)), targets!), tf.expandDims(dy!, 1))];
  },
  kernels: { tensorflow: tensorflowKernel<Input | 'dy', object>('DistributionDivergenceGrad', { floats: ['logits', 'targets', 'dy'], outputs: () => 1 }) },
});
