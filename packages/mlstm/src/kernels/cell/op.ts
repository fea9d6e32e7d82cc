import { cpuKernel, defineOp } from '@bytelm/core';
import { CELL_GRAD_INPUTS, CELL_INPUTS, cellGradOutputs, type CellAttrs, type CellGradInput, type CellInput } from './attrs.js';
import { cellGradPortable } from './grad.js';
import { cellGradLoops, cellLoops } from './loops.js';
import { cellNaive } from './naive.js';
import { cellPortable } from './portable.js';
import { cellGradTensorflow, cellTensorflow } from './tensorflow.js';
import { cellGradWasm, cellWasm } from './wasm.js';
import { cellWebGpu } from './webgpu.js';
import { cellGradWebGpu } from './webgpu-grad.js';

/** Gradients of `Mlstm` by `q, k, v, inputGate, forgetGate, C, n, m`, those that were given, in this order. */
export const cellGradOp = defineOp<CellGradInput, CellAttrs>({
  name: 'MlstmGrad',
  inputs: CELL_GRAD_INPUTS,
  portable: cellGradPortable,
  kernels: { cpu: cpuKernel(cellGradLoops), wasm: cellGradWasm, tensorflow: cellGradTensorflow, webgpu: cellGradWebGpu },
});

/** Outputs: h, and C, n, m of the final state when asked for. */
export const cellOp = defineOp<CellInput, CellAttrs>({
  name: 'Mlstm',
  inputs: CELL_INPUTS,
  portable: cellPortable,
  naive: cellNaive,
  kernels: { cpu: cpuKernel(cellLoops), wasm: cellWasm, tensorflow: cellTensorflow, webgpu: cellWebGpu },
  saveOutputs: [true],
  gradient: ({ dys: [dh, dC, dn, dm], inputs, outputs: [h], attrs }) => {
    const names = cellGradOutputs((n) => inputs[n] !== undefined);
    const grads = cellGradOp({ ...inputs, h, dh, dC, dn, dm }, attrs);
    return Object.fromEntries(names.map((n, i) => [n, grads[i]]));
  },
});
