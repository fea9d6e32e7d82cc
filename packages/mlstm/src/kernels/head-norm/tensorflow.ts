import { tensorflowKernel } from '@bytelm/core';
import { HEAD_NORM_GRAD_INPUTS, HEAD_NORM_INPUTS, type HeadNormAttrs, type HeadNormGradInput, type HeadNormInput } from './attrs.js';

export const headNormTensorflow = tensorflowKernel<HeadNormInput, HeadNormAttrs>('MlstmHeadNorm', {
  floats: HEAD_NORM_INPUTS,
  numbers: ({ attrs }) => [attrs.eps],
  outputs: () => 1,
});

export const headNormGradTensorflow = tensorflowKernel<HeadNormGradInput, HeadNormAttrs>('MlstmHeadNormGrad', {
  floats: HEAD_NORM_GRAD_INPUTS,
  numbers: ({ attrs }) => [attrs.eps],
  outputs: () => 3,
});
