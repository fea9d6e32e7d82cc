import * as tf from '@tensorflow/tfjs-core';
import { defineOp, type OpInputs } from '../../op/define-op.js';
import { hostOutput, naiveForm, sizeOf, type Loops } from '../host.js';
import { normalize, normGradient, type NormAttrs } from './portable.js';
import { tensorflowRmsNorm, tensorflowRmsNormGrad } from './tensorflow.js';
import { wasmRmsNorm, wasmRmsNormGrad } from './wasm.js';
import { webGpuRmsNorm } from './webgpu.js';
import { webGpuRmsNormGrad } from './webgpu-grad.js';

/** Loops of all three norms: y = x r w with r per group, in double precision. */
const rmsNormLoops: Loops<'x' | 'weight', NormAttrs> = ({ x, weight }, { eps, groupSize }) => {
  const width = weight!.values.length;
  const y = hostOutput(x!.shape);
  const r = hostOutput(groupShape(x!.shape, groupSize));
  for (let g = 0; g < r.values.length; g++) {
    let sum = 0;
    for (let i = g * groupSize; i < (g + 1) * groupSize; i++) sum += x!.values[i] ** 2;
    r.values[g] = 1 / Math.sqrt(sum / groupSize + eps);
    for (let i = g * groupSize; i < (g + 1) * groupSize; i++) y.values[i] = x!.values[i] * r.values[g] * weight!.values[i % width];
  }
  return [y, r];
};

/** Shape of the reciprocal root mean squares: (rows, groups of a row). */
const groupShape = (shape: number[], groupSize: number) => [sizeOf(shape.slice(0, -1)), shape[shape.length - 1] / groupSize];

/** x (..., D), weight (D) -> y (..., D), r (rows, groups). */
export const rmsNormOp = defineOp<'x' | 'weight', NormAttrs>({
  name: 'RmsNorm',
  inputs: ['x', 'weight'],
  portable: ({ x, weight }, attrs) => {
    const { y, r } = normalize(x!, weight!, attrs);
    return [y, r];
  },
  naive: naiveForm(rmsNormLoops),
  kernels: { wasm: wasmRmsNorm, webgpu: webGpuRmsNorm, tensorflow: tensorflowRmsNorm },
  saveOutputs: [false, true],
  gradient: ({ dys: [dy], inputs: { x, weight }, outputs: [, r], attrs }) => {
    const [dx, dw] = rmsNormGradOp({ x, weight, r, dy }, attrs);
    return { x: dx, weight: dw };
  },
});

/** dx, dweight; `extra` (like x), when given, is added to dx. */
export const rmsNormGradOp = defineOp<'x' | 'weight' | 'r' | 'dy' | 'extra', NormAttrs>({
  name: 'RmsNormGrad',
  inputs: ['x', 'weight', 'r', 'dy', 'extra'],
  portable: ({ x, weight, r, dy, extra }, attrs) => {
    const { dx, dw } = normGradient(x!, weight!, r!, dy!, attrs);
    return [extra ? tf.add(dx, extra) : dx, dw];
  },
  kernels: { wasm: wasmRmsNormGrad, webgpu: webGpuRmsNormGrad, tensorflow: tensorflowRmsNormGrad },
});

/** x, residual (..., D) -> normed, sum (..., D), r. */
export const addRmsNormOp = defineOp<'x' | 'residual' | 'weight', NormAttrs>({
  name: 'AddRmsNorm',
  inputs: ['x', 'residual', 'weight'],
  portable: ({ x, residual, weight }, attrs) => {
    const sum = tf.add(x!, residual!);
    const { y, r } = normalize(sum, weight!, attrs);
    return [y, sum, r];
  },
  naive: (inputs, attrs) => {
    const sum = tf.add(inputs.x!, inputs.residual!);
    const [y, r] = naiveForm(rmsNormLoops)({ x: sum, weight: inputs.weight } as OpInputs<'x' | 'weight'>, attrs);
    return [y, sum, r];
  },
  kernels: { wasm: wasmRmsNorm, webgpu: webGpuRmsNorm, tensorflow: tensorflowRmsNorm },
  saveOutputs: [false, true, true],
  gradient: ({ dys: [dy, dsum], inputs: { weight }, outputs: [, sum, r], attrs }) => {
    const [dx, dw] = rmsNormGradOp({ x: sum, weight, r, dy, extra: dsum }, attrs);
    // A tensor of its own: tfjs disposes gradients while it adds them up.
    return { x: dx, residual: tf.clone(dx), weight: dw };
  },
});

