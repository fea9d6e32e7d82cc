import * as tf from '@tensorflow/tfjs-core';
import { defineOp, type GradientCall, type OpInputs } from '../../op/define-op.js';
import { flatRows, naiveForm } from '../host.js';
import { matMulLoops } from './naive.js';
import { portableMatMul } from './portable.js';
import type { MatMulAttrs } from './sizes.js';
import { wasmMatMul } from './wasm.js';
import { webGpuMatMulKernel } from './webgpu.js';

/** a and b of equal rank, or b 2-D and a not transposed. */
export const matMulOp = defineOp<'a' | 'b', MatMulAttrs>({
  name: 'MatMul',
  inputs: ['a', 'b'],
  portable: portableMatMul,
  naive: naiveForm(matMulLoops),
  kernels: { wasm: wasmMatMul, webgpu: webGpuMatMulKernel },
  gradient,
});

const product = (a: tf.Tensor, b: tf.Tensor, transposeA: boolean, transposeB: boolean) => matMulOp({ a, b }, { transposeA, transposeB })[0];

function gradient({ dys: [dy], inputs: { a, b }, attrs: { transposeA, transposeB } }: GradientCall<'a' | 'b', MatMulAttrs>): OpInputs<'a' | 'b'> {
  // A shared b collects its gradient in one product over the rows of all batches.
  const [x, d] = b!.rank === 2 ? [flatRows(a!), flatRows(dy)] : [a!, dy];
  const da = transposeA ? product(b!, d, transposeB, true) : product(d, b!, false, !transposeB);
  const db = transposeB ? product(d, x, true, transposeA) : product(x, d, !transposeA, false);
  return { a: tf.reshape(da, a!.shape), b: db };
}
