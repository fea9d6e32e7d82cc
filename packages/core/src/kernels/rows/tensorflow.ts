import { tensorflowKernel } from '../../op/tensorflow-native.js';

export const tensorflowGatherRows = tensorflowKernel<'x' | 'idx', object>('GatherRows', { floats: ['x'], ints: ['idx'], outputs: () => 1 });

export const tensorflowScatterAddRows = tensorflowKernel<'values' | 'idx', { rows: number }>('ScatterAddRows', {
  floats: ['values'],
  ints: ['idx'],
  numbers: ({ attrs }) => [attrs.rows],
  outputs: () => 1,
});
