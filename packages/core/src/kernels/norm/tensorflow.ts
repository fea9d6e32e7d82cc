import { tensorflowKernel } from '../../op/tensorflow-native.js';
import type { GatedNormAttrs, NormAttrs } from './portable.js';

/** Both norms, as the wasm kernel: y, sum (with a residual), r. */
export const tensorflowRmsNorm = tensorflowKernel<'x' | 'residual' | 'weight', NormAttrs>('RmsNorm', {
  floats: ['x', 'residual', 'weight'],
  numbers: ({ attrs: { eps, groupSize } }) => [eps, groupSize],
  outputs: ({ inputs }) => (inputs.residual ? 3 : 2),
});

export const tensorflowRmsNormGrad = tensorflowKernel<'x' | 'weight' | 'r' | 'dy' | 'extra', NormAttrs>('RmsNormGrad', {
  floats: ['x', 'weight', 'r', 'dy', 'extra'],
  numbers: ({ attrs }) => [attrs.groupSize],
  outputs: () => 2,
});

const gatedNumbers = ({ attrs: { eps, groupSize, normBeforeGate } }: { attrs: GatedNormAttrs }) => [eps, groupSize, Number(normBeforeGate)];

export const tensorflowGatedRmsNorm = tensorflowKernel<'x' | 'gate' | 'weight', GatedNormAttrs>('GatedRmsNorm', {
  floats: ['x', 'gate', 'weight'],
  numbers: gatedNumbers,
  outputs: () => 1,
});

export const tensorflowGatedRmsNormGrad = tensorflowKernel<'x' | 'gate' | 'weight' | 'dy', GatedNormAttrs>('GatedRmsNormGrad', {
  floats: ['x', 'gate', 'weight', 'dy'],
  numbers: gatedNumbers,
  outputs: () => 3,
});
