import type * as tf from '@tensorflow/tfjs-core';
import { checkShape, ConfigError, ShapeError, type Dims } from '@bytelm/core';
import { attentionOp } from '../kernels/attention/op.js';

/**
 * Which keys a query sees. Every part that is given must allow a key; without any, all keys are seen.
 * Positions are indices (`queryOffset` added to the query's) unless given as tensors.
 */
export interface AttentionMask {
  /** Only keys at positions up to the query's. */
  causal?: boolean;
  /** Position of query 0 when keys start at 0, e.g. the number of cached keys. Default 0. */
  queryOffset?: number;
  /** Only keys at most this many positions before the query: earlier keys besides itself. Negative: no limit. */
  windowLeft?: number | undefined;
  /** Self-attention over packed documents, (B, T) int32: short for both segment tensors with rule 'equal'. */
  documentIds?: tf.Tensor2D | undefined;
  /** (B, Tq) int32. */
  querySegments?: tf.Tensor2D | undefined;
  /** (B, Tk) int32. */
  keySegments?: tf.Tensor2D | undefined;
  /** Keys of the query's own segment, or of every segment with an id not above its own. Default 'equal'. */
  segmentRule?: 'equal' | 'le';
  /** (B) int32: keys at this index and beyond are padding. */
  keyLengths?: tf.Tensor1D | undefined;
  /** (B, Tq) int32, in place of index + `queryOffset`. */
  queryPositions?: tf.Tensor2D | undefined;
  /** (B, Tk) int32, in place of the index; negative: not a key (an empty slot of a cache). */
  keyPositions?: tf.Tensor2D | undefined;
}

export interface AttentionOptions {
  /** (B, Tk, Hkv, D); Hkv divides H, and query head h reads key head floor(h / (H / Hkv)). */
  k: tf.Tensor4D;
  /** (B, Tk, Hkv, Dv). */
  v: tf.Tensor4D;
  mask?: AttentionMask;
  /** Factor of the scores. Default 1/sqrt(D). */
  scale?: number | undefined;
}

/**
 * Softmax attention `y_i = Σ_j softmax_j(scale q_i·k_j) v_j` over the keys that the mask lets query i see. A query that sees no key gives
 * zeros and passes no gradient. Never stores all scores at once.
 *
 * @param q (B, Tq, H, D) float32.
 * @returns `y` (B, Tq, H, Dv); `lse` (B, H, Tq), the logarithm of the softmax' denominator (0 where no key is seen). Both differentiable
 * by q, k and v.
 * @throws ShapeError, ConfigError
 * @source Vaswani et al., arXiv 1706.03762; blockwise with recomputation as in Dao et al., arXiv 2205.14135; grouped heads: Ainslie et al., arXiv 2305.13245.
 * @example
 * const { y } = attention(q, { k, v, mask: { causal: true, windowLeft: 1023 } });
 */
export function attention(q: tf.Tensor4D, options: AttentionOptions): { y: tf.Tensor4D; lse: tf.Tensor3D } {
  const { k, v, mask = {} } = options;
  const where = 'attention';
  const d: Dims = {};
  checkShape(where, q, 'q', '(B, Tq, H, D)', d, 'float32');
  checkShape(where, k, 'k', '(B, Tk, Hkv, D)', d, 'float32');
  checkShape(where, v, 'v', '(B, Tk, Hkv, Dv)', d, 'float32');
  if (d.H! % d.Hkv! !== 0) {
    throw new ShapeError(`[attention] \`k\`: expected a number of heads that divides the ${d.H} of \`q\`, got ${d.Hkv}. Hint: H = Hkv * group.`);
  }
  const { causal = false, queryOffset = 0, segmentRule = 'equal' } = mask;
  const windowLeft = mask.windowLeft === undefined || mask.windowLeft < 0 ? -1 : mask.windowLeft;
  const querySegments = mask.querySegments ?? mask.documentIds;
  const keySegments = mask.keySegments ?? mask.documentIds;
  const optional = (t: tf.Tensor | undefined, name: string, pattern: string) => t && checkShape(where, t, name, pattern, d, 'int32');
  optional(querySegments, mask.querySegments ? 'mask.querySegments' : 'mask.documentIds', '(B, Tq)');
  optional(keySegments, mask.keySegments ? 'mask.keySegments' : 'mask.documentIds', '(B, Tk)');
  optional(mask.keyLengths, 'mask.keyLengths', '(B)');
  optional(mask.queryPositions, 'mask.queryPositions', '(B, Tq)');
  optional(mask.keyPositions, 'mask.keyPositions', '(B, Tk)');
  const problems: string[] = [];
  if (!querySegments !== !keySegments) problems.push('`querySegments` and `keySegments` come together');
  if (segmentRule !== 'equal' && segmentRule !== 'le') problems.push(`\`segmentRule\` is 'equal' or 'le', got ${JSON.stringify(segmentRule)}`);
  if (mask.queryPositions && queryOffset !== 0) problems.push('`queryOffset` and `queryPositions` exclude each other');
  if (!Number.isInteger(queryOffset)) problems.push(`\`queryOffset\` is a whole number, got ${queryOffset}`);
  if (!Number.isInteger(windowLeft)) problems.push(`\`windowLeft\` is a whole number, got ${windowLeft}`);
  if (problems.length) throw new ConfigError(`[attention] mask: ${problems.join('; ')}.`);
  const { keyLengths, queryPositions, keyPositions } = mask;
  const scale = options.scale ?? 1 / Math.sqrt(d.D!);
  const [y, lse] = attentionOp(
    { q, k, v, querySegments, keySegments, keyLengths, queryPositions, keyPositions },
    { scale, causal, queryOffset, windowLeft, segmentRule },
  );
  return { y: y as tf.Tensor4D, lse: lse as tf.Tensor3D };
}
