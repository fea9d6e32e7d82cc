import { addRmsNorm, BackendError, linear, putRows, rmsNorm, rmsNormGated, silu, takeRows } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { causalConv1dStep } from '../../ops/causal-conv1d.js';
import { ssdStep } from '../../ops/ssd-step.js';
import type { StepAttrs, StepInput } from './attrs.js';

/** [y, sum when there is a norm, conv, ssm]: the states as new tensors. */
export function stepPortable(inputs: { [K in StepInput]?: tf.Tensor }, { config: c, rows }: StepAttrs): tf.Tensor[] {
  const { hidden, residual, norm } = inputs;
  if (inputs.active) throw new BackendError('[Mamba2] steps on the device change their states in place. Hint: begin them with `onDevice.begin`, and share none of their tensors.');
  const R = hidden!.shape[0]!;
  const { normed, sum } = !norm
    ? { normed: hidden!, sum: undefined }
    : residual
      ? addRmsNorm(hidden!, residual, norm, { eps: c.eps })
      : { normed: rmsNorm(hidden!, norm, { eps: c.eps }), sum: tf.clone(hidden!) };

  const projected = linear(normed, inputs.inProj!, inputs.inBias);
  const mlpSizes = c.dMlp ? [c.dMlp, c.dMlp] : [];
  const parts = tf.split(projected, [...mlpSizes, c.dSsm, c.convChannels, c.numHeads], 1);
  const [z, xBC, dt] = parts.slice(mlpSizes.length) as [tf.Tensor, tf.Tensor, tf.Tensor];
  const conv = causalConv1dStep(xBC, {
    weight: inputs.convWeight!,
    bias: inputs.convBias,
    activation: 'silu',
    state: takeRows(inputs.conv!, rows),
  });
  const [x, B, C] = tf.split(conv.y, [c.dSsm, c.numGroups * c.dState, c.numGroups * c.dState], 1) as [tf.Tensor, tf.Tensor, tf.Tensor];
  const scan = ssdStep(tf.reshape(x, [R, c.numHeads, c.headDim]), {
    dt,
    A: tf.neg(tf.exp(inputs.aLog!)),
    B: tf.reshape(B, [R, c.numGroups, c.dState]),
    C: tf.reshape(C, [R, c.numGroups, c.dState]),
    D: c.dPerChannel ? tf.reshape(inputs.D!, [c.numHeads, c.headDim]) : inputs.D,
    dtBias: inputs.dtBias,
    dtSoftplus: true,
    dtLimit: c.dtLimit,
    state: takeRows(inputs.ssm!, rows),
  });
  let inner: tf.Tensor = tf.reshape(scan.y, [R, c.dSsm]);
  inner = inputs.gateWeight
    ? rmsNormGated(inner, z, inputs.gateWeight, { eps: c.eps, groupSize: c.dSsm / c.numGroups, normBeforeGate: c.normBeforeGate })
    : tf.mul(inner, silu(z));
  if (c.dMlp) inner = tf.concat([tf.mul(silu(parts[0]!), parts[1]!), inner], 1);
  const y = linear(inner, inputs.outProj!, inputs.outBias);
  const states = [putRows(inputs.conv!, rows, conv.state as tf.Tensor), putRows(inputs.ssm!, rows, scan.state as tf.Tensor)];
  return sum ? [y, sum, ...states] : [y, ...states];
}
