import type * as tf from '@tensorflow/tfjs-core';
import { checkShape, type Dims } from '@bytelm/core';
import { poolAttentionOp } from '../kernels/patch-attention/pool.js';
import { slotAttentionOp } from '../kernels/patch-attention/slots.js';

export interface SlotAttentionOptions {
  /** (B, M, S, H, D) keys of the S slots of every patch. */
  k: tf.Tensor5D;
  /** (B, M, S, H, Dv). */
  v: tf.Tensor5D;
  /** (B, L) int32: the patch whose slots each byte sees, never falling along a row; −1: none. */
  ids: tf.Tensor2D;
  /** Factor of the scores. Default 1/sqrt(D). */
  scale?: number | undefined;
}

/**
 * Patches → bytes: every byte attends to the S slots of one patch, at O(L·S) cost. Equal to `attention` over all M·S slots with segment rule
 * 'equal'. A byte that sees no patch gives zeros and passes no gradient.
 *
 * @param q (B, L, H, D) float32.
 * @returns (B, L, H, Dv), differentiable by q, k and v.
 * @throws ShapeError
 * @source Pagnoni et al., arXiv 2412.09871, section 3.3.
 */
export function slotAttention(q: tf.Tensor4D, { k, v, ids, scale }: SlotAttentionOptions): tf.Tensor4D {
  const d: Dims = {};
  checkShape('slotAttention', q, 'q', '(B, L, H, D)', d, 'float32');
  checkShape('slotAttention', k, 'k', '(B, M, S, H, D)', d, 'float32');
  checkShape('slotAttention', v, 'v', '(B, M, S, H, Dv)', d, 'float32');
  checkShape('slotAttention', ids, 'ids', '(B, L)', d, 'int32');
  return slotAttentionOp({ q, k, v, ids }, { scale: scale ?? 1 / Math.sqrt(d.D!) })[0] as tf.Tensor4D;
}

export interface PoolAttentionOptions {
  /** (B, L, H, D) keys of the bytes. */
  k: tf.Tensor4D;
  /** (B, L, H, Dv). */
  v: tf.Tensor4D;
  /** (B, L) int32: the patch of each byte, never falling along a row, every patch without gaps; −1: none. */
  ids: tf.Tensor2D;
  /** Factor of the scores. Default 1/sqrt(D). */
  scale?: number | undefined;
}

/**
 * Bytes → patches: the S slots of a patch attend to the patch's own bytes, at O(L·S) cost. Equal to `attention` over all bytes with segment
 * rule 'equal'. A patch without bytes gives zeros and passes no gradient.
 *
 * @param q (B, M, S, H, D) float32.
 * @returns (B, M, S, H, Dv), differentiable by q, k and v.
 * @throws ShapeError
 * @source Pagnoni et al., arXiv 2412.09871, section 3.2.
 */
export function poolAttention(q: tf.Tensor5D, { k, v, ids, scale }: PoolAttentionOptions): tf.Tensor5D {
  const d: Dims = {};
  checkShape('poolAttention', q, 'q', '(B, M, S, H, D)', d, 'float32');
  checkShape('poolAttention', k, 'k', '(B, L, H, D)', d, 'float32');
  checkShape('poolAttention', v, 'v', '(B, L, H, Dv)', d, 'float32');
  checkShape('poolAttention', ids, 'ids', '(B, L)', d, 'int32');
  return poolAttentionOp({ q, k, v, ids }, { scale: scale ?? 1 / Math.sqrt(d.D!) })[0] as tf.Tensor5D;
}
