import { tensorflowKernel } from '../../op/tensorflow-native.js';
import { MODES } from './modes.js';
import type { SegmentPoolAttrs } from './naive.js';

const numbers = ({ attrs: { num, mode } }: { attrs: SegmentPoolAttrs }) => [num, MODES.indexOf(mode)];

export const tensorflowSegmentPool = tensorflowKernel<'x' | 'ids', SegmentPoolAttrs>('SegmentPool', { floats: ['x'], ints: ['ids'], numbers, outputs: () => 1 });

export const tensorflowSegmentPoolGrad = tensorflowKernel<'x' | 'ids' | 'y' | 'dy', SegmentPoolAttrs>('SegmentPoolGrad', {
  floats: ['x', 'y', 'dy'],
  ints: ['ids'],
  numbers,
  outputs: () => 1,
});
