import * as tf from '@tensorflow/tfjs-core';
import { defineOp, type GradientCall, type OpGradients, type OpInputs } from '../../op/define-op.js';
import { flatRows, hostOutput, naiveForm, sizeOf, type Loops } from '../host.js';
import { matMulOp } from '../mat-mul/op.js';
import { wasmLinear } from '../mat-mul/wasm.js';
import { webGpuLinear } from '../mat-mul/webgpu.js';
import { sumRowsOp } from '../rows/sum-rows.js';

export type LinearInput = 'x' | 'weight' | 'bias';

const linearLoops: Loops<LinearInput, object> = ({ x, weight, bias }) => {
  const [n, k] = weight!.shape;
  const rows = sizeOf(x!.shape.slice(0, -1));
  const y = hostOutput([...x!.shape.slice(0, -1), n]);
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < n; o++) {
      let sum = bias ? bias.values[o] : 0;
      for (let i = 0; i < k; i++) sum += x!.values[r * k + i] * weight!.values[o * k + i];
      y.values[r * n + o] = sum;
    }
  }
  return [y];
};

function portable({ x, weight, bias }: OpInputs<LinearInput>): tf.Tensor[] {
  const shape = [...x!.shape.slice(0, -1), weight!.shape[0]];
  const [y] = matMulOp({ a: flatRows(x!), b: weight! }, { transposeA: false, transposeB: true });
  return [tf.reshape(bias ? tf.add(y, bias) : y, shape)];
}

export const linearOp = defineOp<LinearInput, object>({
  name: 'Linear',
  inputs: ['x', 'weight', 'bias'],
  portable,
  naive: naiveForm(linearLoops),
  kernels: { wasm: wasmLinear, webgpu: webGpuLinear },
  gradient,
});

/** Each product is made only where it is wanted: of frozen weights, and of inputs that lead to no parameter, it is not. */
function gradient({ dys, inputs: { x, weight, bias } }: GradientCall<LinearInput, object>): OpGradients<LinearInput> {
  const rows = () => flatRows(dys[0]!);
  return {
    x: () => tf.reshape(matMulOp({ a: rows(), b: weight! }, { transposeA: false, transposeB: false })[0]!, x!.shape),
    weight: () => matMulOp({ a: rows(), b: flatRows(x!) }, { transposeA: true, transposeB: false })[0]!,
    bias: bias && (() => sumRowsOp({ x: rows() }, {})[0]!),
  };
}
