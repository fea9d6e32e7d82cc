import * as tf from '@tensorflow/tfjs-core';
import { defineOp } from '../../op/define-op.js';
import { hostOutput, naiveForm, type Loops } from '../host.js';
import { tensorflowSilu, tensorflowSiluGrad, tensorflowSwiglu, tensorflowSwigluGrad } from './tensorflow.js';
import { wasmSilu, wasmSiluGrad, wasmSwiglu, wasmSwigluGrad } from './wasm.js';
import { webGpuSilu, webGpuSiluGrad, webGpuSwiglu, webGpuSwigluGrad } from './webgpu.js';

const siluLoops: Loops<'x', object> = ({ x }) => {
  const y = hostOutput(x!.shape);
  x!.values.forEach((v: number, i: number) => (y.values[i] = v / (1 + Math.exp(-v))));
  return [y];
};

const swigluLoops: Loops<'gate' | 'up', object> = ({ gate, up }) => {
  const y = hostOutput(gate!.shape);
  gate!.values.forEach((v: number, i: number) => (y.values[i] = (v / (1 + Math.exp(-v))) * up!.values[i]));
  return [y];
};

/** d silu(x) = sig (1 + x (1 - sig)), as sig (1 - s) + s with s = x sig: no intermediate overflows. */
function siluAndSlope(x: tf.Tensor) {
  const sig = tf.sigmoid(x);
  const s = tf.mul(x, sig);
  return { s, slope: tf.add(tf.mul(sig, tf.sub(1, s)), s) };
}

export const siluOp = defineOp<'x', object>({
  name: 'Silu',
  inputs: ['x'],
  portable: ({ x }) => [tf.mul(x!, tf.sigmoid(x!))],
  naive: naiveForm(siluLoops),
  kernels: { wasm: wasmSilu, webgpu: webGpuSilu, tensorflow: tensorflowSilu },
  gradient: ({ dys: [dy], inputs: { x } }) => ({ x: siluGradOp({ x, dy }, {})[0] }),
});

export const siluGradOp = defineOp<'x' | 'dy', object>({
  name: 'SiluGrad',
  inputs: ['x', 'dy'],
  portable: ({ x, dy }) => [tf.mul(dy!, siluAndSlope(x!).slope)],
  kernels: { wasm: wasmSiluGrad, webgpu: webGpuSiluGrad, tensorflow: tensorflowSiluGrad },
});

/** silu(gate) * up, elementwise. */
export const swigluOp = defineOp<'gate' | 'up', object>({
  name: 'Swiglu',
  inputs: ['gate', 'up'],
  portable: ({ gate, up }) => [tf.mul(tf.mul(gate!, tf.sigmoid(gate!)), up!)],
  naive: naiveForm(swigluLoops),
  kernels: { wasm: wasmSwiglu, webgpu: webGpuSwiglu, tensorflow: tensorflowSwiglu },
  gradient: ({ dys: [dy], inputs: { gate, up } }) => {
    const [dgate, dup] = swigluGradOp({ gate, up, dy }, {});
    return { gate: dgate, up: dup };
  },
});

/** dgate, dup. */
export const swigluGradOp = defineOp<'gate' | 'up' | 'dy', object>({
  name: 'SwigluGrad',
  inputs: ['gate', 'up', 'dy'],
  portable: ({ gate, up, dy }) => {
    const { s, slope } = siluAndSlope(gate!);
    return [tf.mul(tf.mul(dy!, up!), slope), tf.mul(dy!, s)];
  },
  kernels: { wasm: wasmSwigluGrad, webgpu: webGpuSwigluGrad, tensorflow: tensorflowSwigluGrad },
});
