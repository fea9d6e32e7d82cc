import * as tf from '@tensorflow/tfjs-core';
import { defineOp } from '@bytelm/core';

type Input = 'u' | 'p' | 'mask';

/** Forward: `u` as it is. Backward: as if multiplied by c = p at boundaries, 1 − p elsewhere, rounded up to 1 (straight through). */
export const confidenceGateOp = defineOp<Input, object>({
  name: 'ConfidenceGate',
  inputs: ['u', 'p', 'mask'],
  portable: ({ u }) => [tf.clone(u!)],
  gradient: ({ dys: [dy], inputs: { u, mask } }) => {
    const dc = tf.sum(tf.mul(dy!, u!), -1);
    const sign = tf.sub(tf.mul(mask!, 2), 1);
    return { u: tf.clone(dy!), p: tf.mul(dc, sign) };
  },
});
