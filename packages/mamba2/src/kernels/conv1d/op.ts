import { cpuKernel, defineOp } from '@bytelm/core';
import { CONV_GRAD_INPUTS, CONV_INPUTS, convGradOutputs, type ConvAttrs, type ConvGradInput, type ConvInput } from './attrs.js';
import { convGradPortable } from './grad.js';
import { convGradLoops, convLoops } from './loops.js';
import { convPortable } from './portable.js';
import { convGradTensorflow, convTensorflow } from './tensorflow.js';
import { convGradWasm, convWasm } from './wasm.js';
import { convGradWebGpu, convWebGpu } from './webgpu.js';

/** Gradients of `CausalConv1d` by `x, weight, bias, initialState`, those that were given, in this order. */
export const convGradOp = defineOp<ConvGradInput, ConvAttrs>({
  name: 'CausalConv1dGrad',
  inputs: CONV_GRAD_INPUTS,
  portable: convGradPortable,
  kernels: { cpu: cpuKernel(convGradLoops), wasm: convGradWasm, tensorflow: convGradTensorflow, webgpu: convGradWebGpu },
});

/** Outputs: y, and the last state when asked for. */
export const convOp = defineOp<ConvInput, ConvAttrs>({
  name: 'CausalConv1d',
  inputs: CONV_INPUTS,
  portable: convPortable,
  kernels: { cpu: cpuKernel(convLoops), wasm: convWasm, tensorflow: convTensorflow, webgpu: convWebGpu },
  gradient: ({ dys: [dy, dState], inputs, attrs }) => {
    const names = convGradOutputs((n) => inputs[n] !== undefined);
    const grads = convGradOp({ ...inputs, dy, dState }, attrs);
    return Object.fromEntries(names.map((n, i) => [n, grads[i]]));
  },
});
