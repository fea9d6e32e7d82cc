import * as tf from '@tensorflow/tfjs-core';
import { defineOp } from '../../op/define-op.js';
import { shapeOf } from '../host.js';
import { wasmSumRows } from '../mat-mul/wasm.js';
import { webGpuSumRows } from '../mat-mul/webgpu.js';

/** (R, N) -> (N): sum over rows; the gradient of everything that is added to, or multiplied with, all rows. */
export const sumRowsOp = defineOp<'x', object>({
  name: 'SumRows',
  inputs: ['x'],
  portable: ({ x }) => [x!.size === 0 ? tf.zeros(shapeOf(x!).slice(1)) : tf.sum(x!, 0)],
  kernels: { wasm: wasmSumRows, webgpu: webGpuSumRows },
});
