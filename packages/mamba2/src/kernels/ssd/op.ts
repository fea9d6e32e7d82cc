import { cpuKernel, defineOp } from '@bytelm/core';
import { SSD_GRAD_INPUTS, SSD_INPUTS, ssdGradOutputs, type SsdAttrs, type SsdGradInput, type SsdInput } from './attrs.js';
import { ssdGradPortable } from './grad.js';
import { ssdGradLoops, ssdLoops } from './loops.js';
import { ssdNaive } from './naive.js';
import { ssdPortable } from './portable.js';
import { ssdGradTensorflow, ssdTensorflow } from './tensorflow.js';
import { ssdGradWasm, ssdWasm } from './wasm.js';
import { ssdGradWebGpu, ssdWebGpu } from './webgpu.js';

/** Gradients of `Ssd` by `x, dt, A, B, C, D, dtBias, initialState`, those that were given, in this order. */
export const ssdGradOp = defineOp<SsdGradInput, SsdAttrs>({
  name: 'SsdGrad',
  inputs: SSD_GRAD_INPUTS,
  portable: ssdGradPortable,
  kernels: { cpu: cpuKernel(ssdGradLoops), wasm: ssdGradWasm, tensorflow: ssdGradTensorflow, webgpu: ssdGradWebGpu },
});

/** Outputs: y, and the final state when asked for. */
export const ssdOp = defineOp<SsdInput, SsdAttrs>({
  name: 'Ssd',
  inputs: SSD_INPUTS,
  portable: ssdPortable,
  naive: ssdNaive,
  kernels: { cpu: cpuKernel(ssdLoops), wasm: ssdWasm, tensorflow: ssdTensorflow, webgpu: ssdWebGpu },
  gradient: ({ dys: [dy, dState], inputs, attrs }) => {
    const names = ssdGradOutputs((n) => inputs[n] !== undefined);
    const grads = ssdGradOp({ ...inputs, dy, dState }, attrs);
    return Object.fromEntries(names.map((n, i) => [n, grads[i]]));
  },
});
