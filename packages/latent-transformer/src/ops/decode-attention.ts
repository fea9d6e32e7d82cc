import type * as tf from '@tensorflow/tfjs-core';
import { checkShape, DataError, ShapeError, type Dims } from '@bytelm/core';
import { decodeAttentionOp } from '../kernels/decode-attention/op.js';

export interface DecodeAttentionOptions {
  /** (B, C, Hkv, D) cached keys. */
  k: tf.Tensor4D;
  /** (B, C, Hkv, Dv). */
  v: tf.Tensor4D;
  /** (R) filled slots of each query's row: slots 0..count-1 are seen, in whatever order positions lie there. */
  counts: ArrayLike<number>;
  /** Cache row of each query. Default: all B in order. */
  rows?: readonly number[] | undefined;
  /** Default 1/sqrt(D). */
  scale?: number | undefined;
}

/**
 * Attention of one query a row over a key/value cache, rows at lengths of their own. Without gradient.
 * @param q (R, H, D). @returns (R, H, Dv).
 * @throws ShapeError, DataError
 */
export function decodeAttention(q: tf.Tensor3D, { k, v, counts, rows, scale }: DecodeAttentionOptions): tf.Tensor3D {
  const d: Dims = {};
  checkShape('decodeAttention', q, 'q', '(R, H, D)', d, 'float32');
  checkShape('decodeAttention', k, 'k', '(B, C, Hkv, D)', d, 'float32');
  checkShape('decodeAttention', v, 'v', '(B, C, Hkv, Dv)', d, 'float32');
  if (d.H! % d.Hkv! !== 0) throw new ShapeError(`[decodeAttention] \`k\`: expected a number of heads that divides ${d.H}, got ${d.Hkv}.`);
  const expected = rows?.length ?? d.B!;
  if (d.R !== expected || counts.length !== expected) {
    throw new ShapeError(`[decodeAttention] expected ${expected} queries and counts (one per ${rows ? 'entry of `rows`' : 'cache row'}), got ${d.R} and ${counts.length}.`);
  }
  const list = Array.from(counts);
  if (list.some((n) => !(n >= 0 && n <= d.C!))) throw new DataError(`[decodeAttention] counts: expected 0..${d.C}, got ${list.join(', ')}.`);
  if (rows?.some((r) => !(r >= 0 && r < d.B!))) throw new DataError(`[decodeAttention] rows: expected 0..${d.B! - 1}, got ${rows.join(', ')}.`);
  return decodeAttentionOp({ q, k, v }, { scale: scale ?? 1 / Math.sqrt(d.D!), rows, counts: list })[0] as tf.Tensor3D;
}
