import * as tf from '@tensorflow/tfjs-core';
import { defineOp, type Op, type OpInputs } from '@bytelm/core';
import { rotaryTensorflow } from './tensorflow.js';
import { rotaryWasm } from './wasm.js';
import { rotaryWebGpu } from './webgpu.js';

export interface RotaryAttrs {
  interleaved: boolean;
  /** Rotate by −angle: the gradient, as a rotation is orthogonal. */
  inverse: boolean;
  /** Table row of index 0 where no positions are given. */
  offset: number;
}

export type RotaryInput = 'x' | 'cos' | 'sin' | 'positions';

/** (1 or B, T, 1, R/2) rows of a table. */
function rowsOf(table: tf.Tensor, { x, positions }: OpInputs<RotaryInput>, offset: number): tf.Tensor {
  const [B, T] = x!.shape as [number, number];
  const half = table.shape[1]!;
  if (!positions) return tf.reshape(tf.slice(table, [offset, 0], [T, half]), [1, T, 1, half]);
  return tf.reshape(tf.gather(table, tf.reshape(positions, [B * T])), [B, T, 1, half]);
}

function rotaryPortable(inputs: OpInputs<RotaryInput>, { interleaved, inverse, offset }: RotaryAttrs): tf.Tensor[] {
  const x = inputs.x!;
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const half = inputs.cos!.shape[1]!;
  const cos = rowsOf(inputs.cos!, inputs, offset);
  const table = rowsOf(inputs.sin!, inputs, offset);
  const sin = inverse ? tf.neg(table) : table;
  const [turned, rest] = 2 * half === D ? [x, undefined] : (tf.split(x, [2 * half, D - 2 * half], 3) as [tf.Tensor, tf.Tensor]);
  let a: tf.Tensor;
  let b: tf.Tensor;
  if (interleaved) {
    const pairs = tf.reshape(turned, [B, T, H * half, 2]);
    [a, b] = tf.split(pairs, 2, 3).map((t) => tf.reshape(t, [B, T, H, half])) as [tf.Tensor, tf.Tensor];
  } else {
    [a, b] = tf.split(turned, 2, 3) as [tf.Tensor, tf.Tensor];
  }
  const first = tf.sub(tf.mul(a, cos), tf.mul(b, sin));
  const second = tf.add(tf.mul(a, sin), tf.mul(b, cos));
  if (!interleaved) return [tf.concat(rest ? [first, second, rest] : [first, second], 3)];
  const pairs = tf.reshape(tf.stack([first, second], 4), [B, T, H, 2 * half]);
  return [rest ? tf.concat([pairs, rest], 3) : pairs];
}

export const rotaryOp: Op<RotaryInput, RotaryAttrs> = defineOp<RotaryInput, RotaryAttrs>({
  name: 'Rotary',
  inputs: ['x', 'cos', 'sin', 'positions'],
  portable: rotaryPortable,
  kernels: { wasm: rotaryWasm, webgpu: rotaryWebGpu, tensorflow: rotaryTensorflow },
  gradient: ({ dys: [dy], inputs: { cos, sin, positions }, attrs }) => {
    const [dx] = rotaryOp({ x: dy, cos, sin, positions }, { ...attrs, inverse: !attrs.inverse });
    return { x: dx };
  },
});
