import type * as tf from '@tensorflow/tfjs-core';
import { checkShape, DataError, ShapeError, type Dims } from '@bytelm/core';
import { decodeAttentionOp } from '../kernels/decode-attention/op.js';

export interface DecodeAttentionOptions {
  /** (B, C, Hkv, D) cached keys. */
  k: tf.Tensor4D;
  /** (B, C, Hkv, Dv). */
  v: tf.Tensor4D;
  /** (R) slots that each query sees, in whatever order positions lie there: `count` of them from `starts[i]` on. */
  counts: ArrayLike<number>;
  /** (R) first slot that each query sees; behind the cache's last slot it goes on with slot 0, as in a ring. Default 0. */
  starts?: ArrayLike<number> | undefined;
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
export function decodeAttention(q: tf.Tensor3D, { k, v, counts, starts, rows, scale }: DecodeAttentionOptions): tf.Tensor3D {
  const d: Dims = {};
  checkShape('decodeAttention', q, 'q', '(R, H, D)', d, 'float32');
  checkShape('decodeAttention', k, 'k', '(B, C, Hkv, D)', d, 'float32');
  checkShape('decodeAttention', v, 'v', '(B, C, Hkv, Dv)', d, 'float32');
  if (d.H! % d.Hkv! !== 0) throw new ShapeError(`[decodeAttention] \`k\`: expected a number of heads that divides ${d.H}, got ${d.Hkv}.`);
  const expected = rows?.length ?? d.B!;
  if (d.R !== expected || counts.length !== expected || (starts && starts.length !== expected)) {
    throw new ShapeError(`[decodeAttention] expected ${expected} queries and counts (one per ${rows ? 'entry of `rows`' : 'cache row'}), got ${d.R} and ${counts.length}${starts ? `, with ${starts.length} starts` : ''}.`);
  }
  const list = Array.from(counts);
  if (list.some((n) => !(n >= 0 && n <= d.C!))) throw new DataError(`[decodeAttention] counts: expected 0..${d.C}, got ${list.join(', ')}.`);
  const first = starts && Array.from(starts);
  if (first?.some((n) => !(n >= 0 && n < d.C!))) throw new DataError(`[decodeAttention] starts: expected 0..${d.C! - 1}, got ${first.join(', ')}.`);
  if (rows?.some((r) => !(r >= 0 && r < d.B!))) throw new DataError(`[decodeAttention] rows: expected 0..${d.B! - 1}, got ${rows.join(', ')}.`);
  return decodeAttentionOp({ q, k, v }, { scale: scale ?? 1 / Math.sqrt(d.D!), rows, starts: first, counts: list })[0] as tf.Tensor3D;
}
