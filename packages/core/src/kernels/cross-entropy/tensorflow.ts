import { tensorflowKernel } from '../../op/tensorflow-native.js';
import type { CrossEntropyAttrs } from './labels.js';

const numbers = ({ attrs: { ignoreIndex, zLoss, isMean } }: { attrs: CrossEntropyAttrs }) => [ignoreIndex, zLoss, Number(isMean)];

export const tensorflowCrossEntropy = tensorflowKernel<'logits' | 'labels', CrossEntropyAttrs>('CrossEntropy', {
  floats: ['logits'],
  ints: ['labels'],
  numbers,
  outputs: () => 1,
});

export const tensorflowCrossEntropyGrad = tensorflowKernel<'logits' | 'labels' | 'dloss', CrossEntropyAttrs>('CrossEntropyGrad', {
  floats: ['logits', 'dloss'],
  ints: ['labels'],
  numbers,
  outputs: () => 1,
});
