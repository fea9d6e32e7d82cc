import * as tf from '@tensorflow/tfjs-core';

/** `mean` over entries whose mask is 1 (0 if there is none), their `sum`, or `none`: one loss an entry, 0 where the mask is. */
export type Reduction = 'mean' | 'sum' | 'none';

export interface ReduceOptions {
  /** As the losses, float32 of 0 and 1. Default: every entry counts. */
  mask?: tf.Tensor | undefined;
  /** Default `mean`. */
  reduction?: Reduction | undefined;
}

export function reduceLosses(losses: tf.Tensor, { mask, reduction = 'mean' }: ReduceOptions): tf.Tensor {
  const counted = mask ? tf.mul(losses, mask) : losses;
  if (reduction === 'none') return counted;
  const sum = tf.sum(counted);
  if (reduction === 'sum') return sum;
  return mask ? tf.div(sum, tf.maximum(tf.sum(mask), tf.scalar(1))) : tf.div(sum, Math.max(1, losses.size));
}
