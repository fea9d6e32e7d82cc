import { defineOp } from '@bytelm/core';
import { STEP_INPUTS, type StepAttrs, type StepInput } from './attrs.js';
import { stepPortable } from './portable.js';
import { stepWasm } from './wasm.js';
import { stepWebGpu } from './webgpu.js';

/**
 * One decode step of a layer, of a block up to its MLP when `norm` is given, of a whole block with `norm2`. Outputs: y (R, D), the residual sum
 * (with `norm`), and the new states C, n, m **unless the kernel updated those of the inputs in place**.
 */
export const stepOp = defineOp<StepInput, StepAttrs>({
  name: 'MlstmStep',
  inputs: STEP_INPUTS,
  portable: stepPortable,
  kernels: { wasm: stepWasm, webgpu: stepWebGpu },
});
