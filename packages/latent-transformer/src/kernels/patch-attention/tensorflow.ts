import { tensorflowKernel } from '@bytelm/core';
import type { PatchAttentionAttrs, PatchAttentionInput } from './shapes.js';

const forward = (op: string) =>
  tensorflowKernel<PatchAttentionInput, PatchAttentionAttrs>(op, { floats: ['q', 'k', 'v'], ints: ['ids'], numbers: ({ attrs }) => [attrs.scale], outputs: () => 1 });

const backward = (op: string) =>
  tensorflowKernel<PatchAttentionInput | 'dy', PatchAttentionAttrs>(op, { floats: ['q', 'k', 'v', 'dy'], ints: ['ids'], numbers: ({ attrs }) => [attrs.scale], outputs: () => 3 });

export const slotAttentionTensorflow = forward('SlotAttention');
export const slotAttentionGradTensorflow = backward('SlotAttentionGrad');
export const poolAttentionTensorflow = forward('PoolAttention');
export const poolAttentionGradTensorflow = backward('PoolAttentionGrad');
