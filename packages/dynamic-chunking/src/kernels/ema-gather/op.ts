import { defineOp, gatherRows, segmentPool, type OpInputs } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { EMA_INPUTS, emaGradOutputs, type EmaAttrs, type EmaInput } from '../ema/portable.js';
import { emaGradOp, emaOp } from '../ema/op.js';
import { emaGatherGradWebGpu, emaGatherWebGpu } from './webgpu.js';

/** `index` (B, L) int32, non-decreasing: which value each position gets, −1 for none. */
export type EmaGatherInput = EmaInput | 'index';
export type EmaGatherGradInput = EmaGatherInput | 'z' | 'dy';

/** Gradients of `EmaGather` by `x, p, initialState`, those that were given, in this order. */
export const emaGatherGradOp = defineOp<EmaGatherGradInput, EmaAttrs>({
  name: 'EmaGatherGrad',
  inputs: [...EMA_INPUTS, 'index', 'z', 'dy'],
  portable: ({ dy, index, ...inputs }, attrs) => {
    const dz = segmentPool(dy as tf.Tensor3D, index as tf.Tensor2D, inputs.x!.shape[1]!, 'sum');
    return emaGradOp({ ...inputs, dz }, attrs);
  },
  kernels: { webgpu: emaGatherGradWebGpu },
});

/** y (B, L, D): the moving average of x (B, M, D) by p (B, M), each value at its positions, zeros at the others; and z (B, M, D), the average, for the backward pass only. */
export const emaGatherOp = defineOp<EmaGatherInput, EmaAttrs>({
  name: 'EmaGather',
  inputs: [...EMA_INPUTS, 'index'],
  portable: ({ index, ...inputs }: OpInputs<EmaGatherInput>, attrs) => {
    const [z] = emaOp(inputs, attrs) as [tf.Tensor3D];
    return [gatherRows(z, index as tf.Tensor2D), z];
  },
  kernels: { webgpu: emaGatherWebGpu },
  saveOutputs: [false, true],
  gradient: ({ dys: [dy], inputs, outputs: [, z], attrs }) => {
    const names = emaGradOutputs((n) => inputs[n] !== undefined);
    const grads = emaGatherGradOp({ ...inputs, z, dy }, attrs);
    return Object.fromEntries(names.map((n, i) => [n, grads[i]]));
  },
});
