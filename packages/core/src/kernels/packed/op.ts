import * as tf from '@tensorflow/tfjs-core';
import { defineOp, type Op, type OpInputs } from '../../op/define-op.js';
import { BackendError } from '../../errors.js';
import { canReadSync } from '../../backend/can-read-sync.js';
import { cpuKernel, flatRows, hostOutput, naiveForm, type Loops } from '../host.js';
import { linearOp } from '../linear/op.js';
import { matMulOp } from '../mat-mul/op.js';
import { sumRowsOp } from '../rows/sum-rows.js';
import { decodeWords, valuesPerWord, type PackedAttrs } from './format.js';
import { wasmPackedLinear, wasmPackedLinearGrad, wasmUnpack } from './wasm.js';
import { webGpuPackedLinear, webGpuPackedLinearGrad } from './webgpu-linear.js';
import { webGpuUnpack } from './webgpu.js';

export type UnpackInput = 'words' | 'scales';
export type PackedLinearInput = 'x' | 'words' | 'scales' | 'bias';
export type PackedGradInput = 'dy' | 'words' | 'scales';

const unpackLoops: Loops<UnpackInput, PackedAttrs> = ({ words, scales }, attrs) => {
  const [rows, perRow] = words!.shape as [number, number];
  const columns = perRow * valuesPerWord(attrs.format);
  const out = hostOutput([rows, columns]);
  const groups = scales ? scales.shape[1]! : 0;
  for (let r = 0; r < rows; r++) {
    decodeWords(words!.values as Int32Array, r * perRow, columns, attrs, scales?.values as Float32Array | undefined, r * groups, out.values, r * columns);
  }
  return [out];
};

const unpackOnHost = naiveForm(unpackLoops);

/** words (N, K / per) int32, scales (N, K / group) -> (N, K) float32. Weights that are kept packed are frozen: no gradient. */
export const unpackOp = defineOp<UnpackInput, PackedAttrs>({
  name: 'Unpack',
  inputs: ['words', 'scales'],
  // tfjs has no bit operations that work on every backend.
  portable: (inputs, attrs) => {
    if (!canReadSync()) throw new BackendError(`[unpackWeight] the portable form reads the words on the host, which '${tf.getBackend()}' cannot do at once.`);
    return unpackOnHost(inputs, attrs);
  },
  naive: unpackOnHost,
  kernels: { cpu: cpuKernel(unpackLoops), wasm: wasmUnpack, webgpu: webGpuUnpack },
});

const unpacked = ({ words, scales }: OpInputs<UnpackInput>, attrs: PackedAttrs) => unpackOp({ words, scales }, attrs)[0]!;

/** y = x unpack(words)^T + bias; differentiable by x and bias. */
export const packedLinearOp = defineOp<PackedLinearInput, PackedAttrs>({
  name: 'PackedLinear',
  inputs: ['x', 'words', 'scales', 'bias'],
  portable: (inputs, attrs) => linearOp({ x: inputs.x, weight: unpacked(inputs, attrs), bias: inputs.bias }, {}),
  kernels: { wasm: wasmPackedLinear, webgpu: webGpuPackedLinear },
  gradient: ({ dys: [dy], inputs: { x, words, scales, bias }, attrs }) => {
    const d = flatRows(dy!);
    const [dx] = packedLinearGradOp({ dy: d, words, scales }, attrs);
    return { x: tf.reshape(dx!, x!.shape), bias: bias && sumRowsOp({ x: d }, {})[0] };
  },
});

/** dx (rows, K) = dy (rows, N) unpack(words): kernels unpack the weight while they read it. */
export const packedLinearGradOp: Op<PackedGradInput, PackedAttrs> = defineOp({
  name: 'PackedLinearGrad',
  inputs: ['dy', 'words', 'scales'],
  portable: ({ dy, ...weight }, attrs) => matMulOp({ a: dy, b: unpacked(weight, attrs) }, { transposeA: false, transposeB: false }),
  kernels: { wasm: wasmPackedLinearGrad, webgpu: webGpuPackedLinearGrad },
  gradient: ({ dys: [d], inputs: { words, scales }, attrs }) => ({ dy: packedLinearOp({ x: d!, words, scales }, attrs)[0] }),
});
