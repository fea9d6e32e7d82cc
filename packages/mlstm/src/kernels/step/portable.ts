import { addRmsNorm, BackendError, linear, putRows, rmsNorm, swiglu, takeRows } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { mlstmStep } from '../../ops/mlstm-step.js';
import { headNorm } from '../head-norm/op.js';
import type { StepAttrs, StepInput } from './attrs.js';

/** [y, sum when there is a norm, C, n, m]: the states as new tensors. */
export function stepPortable(i: { [K in StepInput]?: tf.Tensor }, { config: c, normEps, rows }: StepAttrs): tf.Tensor[] {
  if (i.active) throw new BackendError('[MLSTMLayer] steps on the device change their states in place. Hint: begin them with `onDevice.begin`, and share none of their tensors.');
  const R = i.hidden!.shape[0]!;
  const addNorm = (hidden: tf.Tensor, residual: tf.Tensor | undefined, weight: tf.Tensor) =>
    residual ? addRmsNorm(hidden, residual, weight, { eps: normEps }) : { normed: rmsNorm(hidden, weight, { eps: normEps }), sum: tf.clone(hidden) };
  const first = i.norm ? addNorm(i.hidden!, i.residual, i.norm) : { normed: i.hidden!, sum: undefined };
  const x = first.normed;
  const heads = (t: tf.Tensor, width: number) => tf.reshape(t, [R, c.numHeads, width]);
  const { h, state } = mlstmStep(heads(linear(x, i.q!), c.keyDim), {
    k: heads(linear(x, i.k!), c.keyDim),
    v: heads(linear(x, i.v!), c.valueDim),
    inputGate: linear(x, i.inputGate!, i.inputBias),
    forgetGate: linear(x, i.forgetGate!, i.forgetBias),
    gateSoftCap: c.gateSoftCap,
    eps: c.cellEps,
    state: { C: takeRows(i.C as tf.Tensor4D, rows), n: takeRows(i.n as tf.Tensor3D, rows), m: takeRows(i.m as tf.Tensor2D, rows) },
  });
  let y = linear(headNorm(h, linear(x, i.outputGate!), i.headNorm!, c.headNormEps), i.outProj!);
  let { sum } = first;
  if (i.norm2) {
    const second = addNorm(y, sum, i.norm2);
    sum = second.sum;
    y = linear(swiglu(linear(second.normed, i.gateProj!), linear(second.normed, i.upProj!)), i.downProj!);
  }
  const states = (['C', 'n', 'm'] as const).map((name) => putRows(i[name]!, rows, state[name] as tf.Tensor));
  return sum ? [y, sum, ...states] : [y, ...states];
}
