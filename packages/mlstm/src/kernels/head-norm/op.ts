import { defineOp } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { HEAD_NORM_GRAD_INPUTS, HEAD_NORM_INPUTS, type HeadNormAttrs, type HeadNormGradInput, type HeadNormInput } from './attrs.js';
import { headNormGradPortable, headNormPortable } from './portable.js';
import { headNormGradTensorflow, headNormTensorflow } from './tensorflow.js';
import { headNormGradWasm, headNormWasm } from './wasm.js';
import { headNormGradWebGpu, headNormWebGpu } from './webgpu.js';

export const headNormGradOp = defineOp<HeadNormGradInput, HeadNormAttrs>({
  name: 'MlstmHeadNormGrad',
  inputs: HEAD_NORM_GRAD_INPUTS,
  portable: headNormGradPortable,
  kernels: { wasm: headNormGradWasm, tensorflow: headNormGradTensorflow, webgpu: headNormGradWebGpu },
});

export const headNormOp = defineOp<HeadNormInput, HeadNormAttrs>({
  name: 'MlstmHeadNorm',
  inputs: HEAD_NORM_INPUTS,
  portable: headNormPortable,
  kernels: { wasm: headNormWasm, tensorflow: headNormTensorflow, webgpu: headNormWebGpu },
  gradient: ({ dys: [dy], inputs, attrs }) => {
    const [h, gate, weight] = headNormGradOp({ ...inputs, dy }, attrs);
    return { h, gate, weight };
  },
});

/**
 * What follows the cell: LayerNorm of each head's values (mean and biased variance), times a weight a channel, times the open output gate.
 * @param h (..., H, V). @param gate (..., H*V) before its sigmoid. @param weight (H*V).
 * @returns (..., H*V)
 */
export function headNorm(h: tf.Tensor, gate: tf.Tensor, weight: tf.Tensor, eps: number): tf.Tensor {
  const [heads, size] = h.shape.slice(-2) as [number, number];
  return tf.tidy(() => {
    const rows = h.size / (heads * size);
    const [y] = headNormOp({ h: tf.reshape(h, [rows, heads, size]), gate: tf.reshape(gate, [rows, heads * size]), weight }, { eps });
    return tf.reshape(y!, gate.shape);
  });
}
