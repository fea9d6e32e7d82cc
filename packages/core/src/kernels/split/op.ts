import * as tf from '@tensorflow/tfjs-core';
import { defineOp, type OpInputs } from '../../op/define-op.js';
import { shapeOf } from '../host.js';
import { joinTensorflow, splitTensorflow } from './tensorflow.js';
import { joinWasm, splitWasm } from './wasm.js';
import { joinWebGpu, splitWebGpu } from './webgpu.js';

export interface SplitAttrs {
  sizes: readonly number[];
}

/** Inputs of the join are numbered. */
const MOST = 8;
export type PartName = `part${number}`;
const partNames = Array.from({ length: MOST }, (_, i): PartName => `part${i}`);

/** Parts beside each other on the last axis → one tensor; the gradient of `splitLastOp`. */
export const joinLastOp = defineOp<PartName, SplitAttrs>({
  name: 'JoinLast',
  inputs: partNames,
  portable: (parts, { sizes }) => [tf.concat(sizes.map((_, i) => parts[`part${i}`]!), -1)],
  kernels: { wasm: joinWasm, webgpu: joinWebGpu, tensorflow: joinTensorflow },
});

/** One tensor → its parts on the last axis. tfjs' own split is a slow loop of small copies on wasm. */
export const splitLastOp = defineOp<'x', SplitAttrs>({
  name: 'SplitLast',
  inputs: ['x'],
  portable: ({ x }, { sizes }) => (sizes.length === 1 ? [tf.clone(x!)] : tf.split(x!, [...sizes], shapeOf(x!).length - 1)),
  kernels: { wasm: splitWasm, webgpu: splitWebGpu, tensorflow: splitTensorflow },
  gradient: ({ dys, attrs }) => {
    const parts: OpInputs<PartName> = Object.fromEntries(dys.map((dy, i) => [`part${i}`, dy]));
    return { x: joinLastOp(parts, attrs)[0] };
  },
});
