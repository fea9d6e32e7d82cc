import { tensorflowKernel } from '@bytelm/core';
import type { AttentionAttrs, AttentionInput, MaskInput } from './mask.js';

const MASK: MaskInput[] = ['querySegments', 'keySegments', 'keyLengths', 'queryPositions', 'keyPositions'];

const numbers = ({ attrs }: { attrs: AttentionAttrs }) => [
  attrs.scale,
  Number(attrs.causal),
  attrs.queryOffset,
  attrs.windowLeft,
  Number(attrs.segmentRule === 'le'),
];

export const attentionTensorflow = tensorflowKernel<AttentionInput, AttentionAttrs>('Attention', { floats: ['q', 'k', 'v'], ints: MASK, numbers, outputs: () => 2 });

export const attentionGradTensorflow = tensorflowKernel<AttentionInput | 'dy' | 'lse' | 'delta', AttentionAttrs>('AttentionGrad', {
  floats: ['q', 'k', 'v', 'dy', 'lse', 'delta'],
  ints: MASK,
  numbers,
  outputs: () => 3,
});
