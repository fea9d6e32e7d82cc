import { tensorflowKernel } from '@bytelm/core';
import type { RotaryAttrs, RotaryInput } from './op.js';

export const rotaryTensorflow = tensorflowKernel<RotaryInput, RotaryAttrs>('Rotary', {
  floats: ['x', 'cos', 'sin'],
  ints: ['positions'],
  numbers: ({ attrs }) => [Number(attrs.interleaved), attrs.inverse ? -1 : 1, attrs.offset],
  outputs: () => 1,
});
