import { defineOp } from '@bytelm/core';
import { STEP_INPUTS, type StepAttrs, type StepInput } from './attrs.js';
import { stepPortable } from './portable.js';
import { stepWasm } from './wasm.js';
import { stepWebGpu } from './webgpu.js';

/**
 * One decode step of a mixer, or of a block up to its MLP when `norm` is given. Outputs: y (R, D), the residual sum (with `norm`), and the new
 * states conv and ssm **unless the kernel updated those of the inputs in place**.
 */
export const stepOp = defineOp<StepInput, StepAttrs>({
  name: 'Mamba2Step',
  inputs: STEP_INPUTS,
  portable: stepPortable,
  kernels: { wasm: stepWasm, webgpu: stepWebGpu },
});
