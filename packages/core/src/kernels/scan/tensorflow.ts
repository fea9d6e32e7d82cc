import { tensorflowKernel } from '../../op/tensorflow-native.js';
import type { ScanAttrs, ScanGradInput, ScanInput } from './portable.js';

const numbers = ({ attrs }: { attrs: ScanAttrs }) => [Number(attrs.reverse)];

export const tensorflowScan = tensorflowKernel<ScanInput, ScanAttrs>('Scan', { floats: ['b', 'a', 'h0'], ints: ['lengths', 'documentIds'], numbers, outputs: () => 2 });

export const tensorflowScanGrad = tensorflowKernel<ScanGradInput, ScanAttrs>('ScanGrad', {
  floats: ['a', 'y', 'h0', 'dy', 'dfinal'],
  ints: ['lengths', 'documentIds'],
  numbers,
  outputs: () => 3,
});
