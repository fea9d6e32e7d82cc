import { defineOp } from '@bytelm/core';
import { EMA_GRAD_INPUTS, EMA_INPUTS, emaGradOutputs, emaGradPortable, emaPortable, type EmaAttrs, type EmaGradInput, type EmaInput } from './portable.js';
import { emaGradWebGpu, emaWebGpu } from './webgpu.js';

/** Gradients of `Ema` by `x, p, initialState`, those that were given, in this order. */
export const emaGradOp = defineOp<EmaGradInput, EmaAttrs>({
  name: 'EmaGrad',
  inputs: EMA_GRAD_INPUTS,
  portable: emaGradPortable,
  kernels: { webgpu: emaGradWebGpu },
});

/** `z_t = P_t x_t + (1 − P_t) z_{t−1}`, P = p clamped; x (B, M, D), p (B, M). */
export const emaOp = defineOp<EmaInput, EmaAttrs>({
  name: 'Ema',
  inputs: EMA_INPUTS,
  portable: emaPortable,
  kernels: { webgpu: emaWebGpu },
  saveOutputs: [true],
  gradient: ({ dys: [dz], inputs, outputs: [z], attrs }) => {
    const names = emaGradOutputs((n) => inputs[n] !== undefined);
    const grads = emaGradOp({ ...inputs, z, dz }, attrs);
    return Object.fromEntries(names.map((n, i) => [n, grads[i]]));
  },
});
