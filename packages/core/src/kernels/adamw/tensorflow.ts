import { tensorflowKernel } from '../../op/tensorflow-native.js';
import { adamwFactors, type AdamWAttrs, type AdamWInput } from './portable.js';

/** New [param, m, v]: tensors of TensorFlow don't change in place. */
export const adamwTensorflow = tensorflowKernel<AdamWInput, AdamWAttrs>('AdamW', {
  floats: ['param', 'm', 'v', 'grad', 'scale'],
  numbers: ({ attrs }) => {
    const { keep, rate, root } = adamwFactors(attrs);
    const { beta1, beta2, eps } = attrs;
    return [keep, beta1, 1 - beta1, beta2, 1 - beta2, rate, root, eps];
  },
  outputs: () => 3,
});

export const sumSquaresTensorflow = tensorflowKernel<'x' | 'sum', object>('SumSquares', { floats: ['x', 'sum'], outputs: () => 1 });
