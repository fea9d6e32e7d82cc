import * as tf from '@tensorflow/tfjs-core';
import { defineOp } from '@bytelm/core';
import { gateGradWebGpu } from './webgpu.js';

type Input = 'u' | 'p' | 'mask';

/** dp (B, L): `<dy, u>` with the sign of the decision, + at boundaries. */
export const confidenceGateGradOp = defineOp<'u' | 'mask' | 'dy', object>({
  name: 'ConfidenceGateGrad',
  inputs: ['u', 'mask', 'dy'],
  portable: ({ u, mask, dy }) => [tf.mul(tf.sum(tf.mul(dy!, u!), -1), tf.sub(tf.mul(mask!, 2), 1))],
  kernels: { webgpu: gateGradWebGpu },
});

/** Forward: `u` as it is. Backward: as if multiplied by c = p at boundaries, 1 − p elsewhere, rounded up to 1 (straight through). */
export const confidenceGateOp = defineOp<Input, object>({
  name: 'ConfidenceGate',
  inputs: ['u', 'p', 'mask'],
  portable: ({ u }) => [tf.clone(u!)],
  gradient: ({ dys: [dy], inputs: { u, mask } }) => ({ u: tf.clone(dy!), p: confidenceGateGradOp({ u, mask, dy }, {})[0]! }),
});
