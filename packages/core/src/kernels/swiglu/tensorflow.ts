import { tensorflowKernel } from '../../op/tensorflow-native.js';

export const tensorflowSilu = tensorflowKernel<'x', object>('Silu', { floats: ['x'], outputs: () => 1 });
export const tensorflowSiluGrad = tensorflowKernel<'x' | 'dy', object>('SiluGrad', { floats: ['x', 'dy'], outputs: () => 1 });

export const tensorflowSwiglu = tensorflowKernel<'gate' | 'up', object>('Swiglu', { floats: ['gate', 'up'], numbers: () => [1], outputs: () => 1 });
export const tensorflowSwigluGrad = tensorflowKernel<'gate' | 'up' | 'dy', object>('SwigluGrad', {
  floats: ['gate', 'up', 'dy'],
  numbers: () => [1],
  outputs: () => 2,
});

/** The same native ops take both halves out of one packed tensor when the second input is not given. */
export const tensorflowSplitSwiglu = tensorflowKernel<'packed' | 'none', { gateFirst: boolean }>('Swiglu', {
  floats: ['packed', 'none'],
  numbers: ({ attrs }) => [Number(attrs.gateFirst)],
  outputs: () => 1,
});
export const tensorflowSplitSwigluGrad = tensorflowKernel<'packed' | 'none' | 'dy', { gateFirst: boolean }>('SwigluGrad', {
  floats: ['packed', 'none', 'dy'],
  numbers: ({ attrs }) => [Number(attrs.gateFirst)],
  outputs: () => 1,
});
