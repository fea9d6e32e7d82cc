import { tensorflowKernel } from '@bytelm/core';
import { convGradOutputs, type ConvAttrs, type ConvGradInput, type ConvInput } from './attrs.js';

export const convTensorflow = tensorflowKernel<ConvInput, ConvAttrs>('CausalConv1d', {
  floats: ['x', 'weight', 'bias', 'initialState'],
  ints: ['documentIds', 'lengths'],
  numbers: ({ attrs }) => [Number(attrs.silu), Number(attrs.returnState)],
  outputs: ({ attrs }) => (attrs.returnState ? 2 : 1),
});

export const convGradTensorflow = tensorflowKernel<ConvGradInput, ConvAttrs>('CausalConv1dGrad', {
  floats: ['x', 'weight', 'bias', 'initialState', 'dy', 'dState'],
  ints: ['documentIds', 'lengths'],
  numbers: ({ attrs }) => [Number(attrs.silu)],
  outputs: ({ inputs }) => convGradOutputs((n) => inputs[n] !== undefined).length,
});
