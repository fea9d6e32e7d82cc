import { defineOp } from '../../op/define-op.js';
import { cpuKernel, naiveForm } from '../host.js';
import { adamwLoops, sumSquaresLoops } from './naive.js';
import { adamwPortable, sumSquaresPortable, type AdamWAttrs, type AdamWInput } from './portable.js';
import { adamwTensorflow, sumSquaresTensorflow } from './tensorflow.js';
import { adamwWasm, sumSquaresWasm } from './wasm.js';
import { adamwWebGpu, sumSquaresWebGpu } from './webgpu.js';

/**
 * One AdamW update of one tensor; the gradient may be multiplied by a scalar on the device (`scale`, from clipping).
 * Returns the new [param, m, v], or nothing when the kernel has updated the three in place.
 */
export const adamwStep = defineOp<AdamWInput, AdamWAttrs>({
  name: 'AdamWStep',
  inputs: ['param', 'm', 'v', 'grad', 'scale'],
  portable: adamwPortable,
  naive: naiveForm(adamwLoops),
  kernels: { cpu: cpuKernel(adamwLoops), wasm: adamwWasm, webgpu: adamwWebGpu, tensorflow: adamwTensorflow },
});

/** Scalar `sum` + Σx², for the global gradient norm. */
export const sumSquares = defineOp<'x' | 'sum', object>({
  name: 'SumSquares',
  inputs: ['x', 'sum'],
  portable: sumSquaresPortable,
  naive: naiveForm(sumSquaresLoops),
  kernels: { cpu: cpuKernel(sumSquaresLoops), wasm: sumSquaresWasm, webgpu: sumSquaresWebGpu, tensorflow: sumSquaresTensorflow },
});
