import { defineOp } from '../../op/define-op.js';
import { cpuKernel, naiveForm } from '../host.js';
import { scanGradLoops, scanLoops } from './naive.js';
import { portableScan, portableScanGrad, type ScanAttrs, type ScanGradInput, type ScanInput } from './portable.js';
import { tensorflowScan, tensorflowScanGrad } from './tensorflow.js';
import { wasmScan, wasmScanGrad } from './wasm.js';
import { webGpuScan, webGpuScanGrad } from './webgpu.js';

/** y (B, L, D), final (B, D). */
export const scanOp = defineOp<ScanInput, ScanAttrs>({
  name: 'Scan',
  inputs: ['b', 'a', 'h0', 'lengths', 'documentIds'],
  portable: portableScan,
  naive: naiveForm(scanLoops),
  kernels: { cpu: cpuKernel(scanLoops), wasm: wasmScan, webgpu: webGpuScan, tensorflow: tensorflowScan },
  saveOutputs: [true, false],
  gradient: ({ dys: [dy, dfinal], inputs: { a, h0, lengths, documentIds }, outputs: [y], attrs }) => {
    const [db, da, dh0] = scanGradOp({ a, y, h0, lengths, documentIds, dy, dfinal }, attrs);
    return { b: db, a: da, h0: dh0 };
  },
});

/** db, da, dh0. */
export const scanGradOp = defineOp<ScanGradInput, ScanAttrs>({
  name: 'ScanGrad',
  inputs: ['a', 'y', 'h0', 'lengths', 'documentIds', 'dy', 'dfinal'],
  portable: portableScanGrad,
  naive: naiveForm(scanGradLoops),
  kernels: { cpu: cpuKernel(scanGradLoops), wasm: wasmScanGrad, webgpu: webGpuScanGrad, tensorflow: tensorflowScanGrad },
});
