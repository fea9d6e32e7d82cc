import * as tf from '@tensorflow/tfjs-core';

export type PatchAttentionInput = 'q' | 'k' | 'v' | 'ids';

export interface PatchAttentionAttrs {
  scale: number;
}

/** (B, L, H, D) → (B, L, 1, H, D), to meet the slots of a patch. */
export const alongSlots = (x: tf.Tensor): tf.Tensor => tf.expandDims(x, 2);

/** Sum over the slots: (B, L, S, H, D) → (B, L, H, D). */
export const withoutSlots = (x: tf.Tensor): tf.Tensor => tf.sum(x, 2);
