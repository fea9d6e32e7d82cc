import * as tf from '@tensorflow/tfjs-core';
import { defineOp } from '../../op/define-op.js';
import { hostOutput, naiveForm, type Loops } from '../host.js';
import { swigluGradOp, swigluOp } from './op.js';
import { tensorflowSplitSwiglu, tensorflowSplitSwigluGrad } from './tensorflow.js';
import { wasmSplitSwiglu, wasmSplitSwigluGrad } from './wasm.js';
import { webGpuSplitSwiglu, webGpuSplitSwigluGrad } from './webgpu.js';

export interface SplitSwigluAttrs {
  /** The gate is the first half. */
  gateFirst: boolean;
}

function halves(packed: tf.Tensor, gateFirst: boolean): { gate: tf.Tensor; up: tf.Tensor } {
  const [a, b] = tf.split(packed, 2, packed.rank - 1);
  return gateFirst ? { gate: a, up: b } : { gate: b, up: a };
}

const loops: Loops<'packed', SplitSwigluAttrs> = ({ packed }, { gateFirst }) => {
  const width = packed!.shape[packed!.shape.length - 1] / 2;
  const y = hostOutput([...packed!.shape.slice(0, -1), width]);
  for (let i = 0; i < y.values.length; i++) {
    const first = Math.floor(i / width) * 2 * width + (i % width);
    const [a, b] = [packed!.values[first], packed!.values[first + width]];
    const [g, u] = gateFirst ? [a, b] : [b, a];
    y.values[i] = (g / (1 + Math.exp(-g))) * u;
  }
  return [y];
};

/** packed (..., 2F) -> (..., F). */
export const splitSwigluOp = defineOp<'packed', SplitSwigluAttrs>({
  name: 'SplitSwiglu',
  inputs: ['packed'],
  portable: ({ packed }, { gateFirst }) => swigluOp(halves(packed!, gateFirst), {}),
  naive: naiveForm(loops),
  kernels: { wasm: wasmSplitSwiglu, webgpu: webGpuSplitSwiglu, tensorflow: tensorflowSplitSwiglu },
  gradient: ({ dys: [dy], inputs: { packed }, attrs }) => ({ packed: splitSwigluGradOp({ packed, dy }, attrs)[0] }),
});

export const splitSwigluGradOp = defineOp<'packed' | 'dy', SplitSwigluAttrs>({
  name: 'SplitSwigluGrad',
  inputs: ['packed', 'dy'],
  portable: ({ packed, dy }, { gateFirst }) => {
    const [dgate, dup] = swigluGradOp({ ...halves(packed!, gateFirst), dy }, {});
    return [tf.concat(gateFirst ? [dgate, dup] : [dup, dgate], packed!.rank - 1)];
  },
  kernels: { wasm: wasmSplitSwigluGrad, webgpu: webGpuSplitSwigluGrad, tensorflow: tensorflowSplitSwigluGrad },
});
