import * as tf from '@tensorflow/tfjs-core';
import { defineOp } from '../../op/define-op.js';
import { hostOutput, naiveForm, type Loops } from '../host.js';
import { normalize, normGradient, type GatedNormAttrs } from './portable.js';
import { tensorflowGatedRmsNorm, tensorflowGatedRmsNormGrad } from './tensorflow.js';
import { wasmGatedRmsNorm, wasmGatedRmsNormGrad } from './wasm.js';
import { webGpuGatedRmsNorm } from './webgpu.js';
import { webGpuGatedRmsNormGrad } from './webgpu-grad.js';

const silu = (z: number) => z / (1 + Math.exp(-z));

const gatedLoops: Loops<'x' | 'gate' | 'weight', GatedNormAttrs> = ({ x, gate, weight }, { eps, groupSize, normBeforeGate }) => {
  const width = weight!.values.length;
  const y = hostOutput(x!.shape);
  for (let start = 0; start < y.values.length; start += groupSize) {
    const at = (i: number) => x!.values[i] * (normBeforeGate ? 1 : silu(gate!.values[i]));
    let sum = 0;
    for (let i = start; i < start + groupSize; i++) sum += at(i) ** 2;
    const r = 1 / Math.sqrt(sum / groupSize + eps);
    for (let i = start; i < start + groupSize; i++) y.values[i] = at(i) * r * weight!.values[i % width] * (normBeforeGate ? silu(gate!.values[i]) : 1);
  }
  return [y];
};

/** x, gate (..., D), weight (D) -> (..., D). */
export const gatedRmsNormOp = defineOp<'x' | 'gate' | 'weight', GatedNormAttrs>({
  name: 'GatedRmsNorm',
  inputs: ['x', 'gate', 'weight'],
  portable: ({ x, gate, weight }, attrs) => {
    const s = tf.mul(gate!, tf.sigmoid(gate!));
    if (attrs.normBeforeGate) return [tf.mul(normalize(x!, weight!, attrs).y, s)];
    return [normalize(tf.mul(x!, s), weight!, attrs).y];
  },
  naive: naiveForm(gatedLoops),
  kernels: { wasm: wasmGatedRmsNorm, webgpu: webGpuGatedRmsNorm, tensorflow: tensorflowGatedRmsNorm },
  gradient: ({ dys: [dy], inputs: { x, gate, weight }, attrs }) => {
    const [dx, dgate, dw] = gatedRmsNormGradOp({ x, gate, weight, dy }, attrs);
    return { x: dx, gate: dgate, weight: dw };
  },
});

/** dx, dgate, dweight. */
export const gatedRmsNormGradOp = defineOp<'x' | 'gate' | 'weight' | 'dy', GatedNormAttrs>({
  name: 'GatedRmsNormGrad',
  inputs: ['x', 'gate', 'weight', 'dy'],
  portable: ({ x, gate, weight, dy }, attrs) => {
    const sig = tf.sigmoid(gate!);
    const s = tf.mul(gate!, sig);
    // silu' = sig + s (1 - sig) = sig (1 - s) + s
    const slope = tf.add(tf.mul(sig, tf.sub(1, s)), s);
    if (attrs.normBeforeGate) {
      const { y, r } = normalize(x!, weight!, attrs);
      const { dx, dw } = normGradient(x!, weight!, r, tf.mul(dy!, s), attrs);
      return [dx, tf.mul(tf.mul(dy!, y), slope), dw];
    }
    const a = tf.mul(x!, s);
    const { r } = normalize(a, weight!, attrs);
    const { dx: da, dw } = normGradient(a, weight!, r, dy!, attrs);
    return [tf.mul(da, s), tf.mul(tf.mul(da, x!), slope), dw];
  },
  kernels: { wasm: wasmGatedRmsNormGrad, webgpu: webGpuGatedRmsNormGrad, tensorflow: tensorflowGatedRmsNormGrad },
});
