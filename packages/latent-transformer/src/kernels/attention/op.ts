import * as tf from '@tensorflow/tfjs-core';
import { defineOp } from '@bytelm/core';
import type { AttentionAttrs, AttentionInput } from './mask.js';
import { attentionGradPortable } from './grad.js';
import { attentionNaive } from './naive.js';
import { attentionPortable } from './portable.js';
import { attentionGradTensorflow, attentionTensorflow } from './tensorflow.js';
import { attentionGradWasm, attentionWasm } from './wasm.js';
import { attentionGradWebGpu, attentionWebGpu } from './webgpu.js';

const MASK_INPUTS = ['querySegments', 'keySegments', 'keyLengths', 'queryPositions', 'keyPositions'] as const;

/** Backward pass from the saved log-sum-exp; a second op, so that backends can bring their own kernel. */
export const attentionGradOp = defineOp<AttentionInput | 'dy' | 'lse' | 'delta', AttentionAttrs>({
  name: 'AttentionGrad',
  inputs: ['q', 'k', 'v', 'dy', 'lse', 'delta', ...MASK_INPUTS],
  portable: attentionGradPortable,
  kernels: { wasm: attentionGradWasm, webgpu: attentionGradWebGpu, tensorflow: attentionGradTensorflow },
});

export const attentionOp = defineOp<AttentionInput, AttentionAttrs>({
  name: 'Attention',
  inputs: ['q', 'k', 'v', ...MASK_INPUTS],
  portable: attentionPortable,
  naive: attentionNaive,
  kernels: { wasm: attentionWasm, webgpu: attentionWebGpu, tensorflow: attentionTensorflow },
  saveOutputs: [true, true],
  gradient: ({ dys: [dy, dLse], inputs, outputs: [y, lse], attrs }) => {
    // d lse_i / d s_ij = p_ij, so a gradient of lse enters where the softmax' own correction does.
    const delta = tf.sub(tf.transpose(tf.sum(tf.mul(dy!, y!), -1), [0, 2, 1]), dLse!);
    const [dq, dk, dv] = attentionGradOp({ ...inputs, dy, lse, delta }, attrs);
    return { q: dq, k: dk, v: dv };
  },
});
