import * as tf from '@tensorflow/tfjs-core';
import { defineOp } from '@bytelm/core';

type Input = 'q' | 'k';

/** `p = clamp((1 − cos(q, k)) / 2, 0, 1)` row by row; q, k (R, D) → (R). Norms are floored at 1e-12. */
export const boundaryProbabilityOp = defineOp<Input, object>({
  name: 'BoundaryProbability',
  inputs: ['q', 'k'],
  saveOutputs: [true],
  portable: ({ q, k }) => {
    const cos = tf.sum(tf.mul(unit(q!).direction, unit(k!).direction), -1);
    return [tf.clipByValue(tf.mul(tf.sub(1, cos), 0.5), 0, 1)];
  },
  gradient: ({ dys: [dp], inputs: { q, k }, outputs: [p] }) => {
    const a = unit(q!);
    const b = unit(k!);
    const cos = tf.expandDims(tf.sub(1, tf.mul(p!, 2)), -1);
    const dcos = tf.expandDims(tf.mul(dp!, -0.5), -1);
    return {
      q: tf.div(tf.mul(dcos, tf.sub(b.direction, tf.mul(cos, a.direction))), a.norm),
      k: tf.div(tf.mul(dcos, tf.sub(a.direction, tf.mul(cos, b.direction))), b.norm),
    };
  },
});

function unit(x: tf.Tensor): { direction: tf.Tensor; norm: tf.Tensor } {
  const norm = tf.maximum(tf.sqrt(tf.sum(tf.square(x), -1, true)), 1e-12);
  return { direction: tf.div(x, norm), norm };
}
