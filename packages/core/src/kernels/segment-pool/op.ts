import { defineOp } from '../../op/define-op.js';
import { cpuKernel, naiveForm } from '../host.js';
import { segmentPoolGradLoops, segmentPoolLoops, type SegmentPoolAttrs } from './naive.js';
import { portableSegmentPool, portableSegmentPoolGrad } from './portable.js';
import { tensorflowSegmentPool, tensorflowSegmentPoolGrad } from './tensorflow.js';
import { wasmSegmentPool, wasmSegmentPoolGrad } from './wasm.js';
import { webGpuSegmentPool, webGpuSegmentPoolGrad } from './webgpu.js';

/** x (B, L, D), ids (B, L) -> (B, num, D). */
export const segmentPoolOp = defineOp<'x' | 'ids', SegmentPoolAttrs>({
  name: 'SegmentPool',
  inputs: ['x', 'ids'],
  portable: portableSegmentPool,
  naive: naiveForm(segmentPoolLoops),
  kernels: { cpu: cpuKernel(segmentPoolLoops), wasm: wasmSegmentPool, webgpu: webGpuSegmentPool, tensorflow: tensorflowSegmentPool },
  saveOutputs: [true],
  gradient: ({ dys: [dy], inputs: { x, ids }, outputs: [y], attrs }) => ({ x: segmentPoolGradOp({ x, ids, y, dy }, attrs)[0] }),
});

export const segmentPoolGradOp = defineOp<'x' | 'ids' | 'y' | 'dy', SegmentPoolAttrs>({
  name: 'SegmentPoolGrad',
  inputs: ['x', 'ids', 'y', 'dy'],
  portable: portableSegmentPoolGrad,
  naive: naiveForm(segmentPoolGradLoops),
  kernels: { cpu: cpuKernel(segmentPoolGradLoops), wasm: wasmSegmentPoolGrad, webgpu: webGpuSegmentPoolGrad, tensorflow: tensorflowSegmentPoolGrad },
});
