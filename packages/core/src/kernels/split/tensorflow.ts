import { tensorflowKernel } from '../../op/tensorflow-native.js';
import type { PartName, SplitAttrs } from './op.js';

export const splitTensorflow = tensorflowKernel<'x', SplitAttrs>('SplitLast', {
  floats: ['x'],
  numbers: ({ attrs: { sizes } }) => [sizes.length, ...sizes],
  outputs: ({ attrs }) => attrs.sizes.length,
});

export const joinTensorflow = tensorflowKernel<PartName, SplitAttrs>('JoinLast', {
  floats: Array.from({ length: 8 }, (_, i): PartName => `part${i}`),
  numbers: ({ attrs }) => [attrs.sizes.length],
  outputs: () => 1,
});
