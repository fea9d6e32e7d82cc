import * as tf from '@tensorflow/tfjs-core';
import type { OpInputs } from '@bytelm/core';

export type MaskInput = 'querySegments' | 'keySegments' | 'keyLengths' | 'queryPositions' | 'keyPositions';
export type AttentionInput = 'q' | 'k' | 'v' | MaskInput;

/** Everything of a call that is not a tensor, with all defaults filled in. */
export interface AttentionAttrs {
  scale: number;
  causal: boolean;
  /** Added to a query's index where no `queryPositions` are given. */
  queryOffset: number;
  /** Earlier positions that stay visible besides the own one; −1: no limit. */
  windowLeft: number;
  segmentRule: 'equal' | 'le';
}

/** Added to the score of an invisible key: finite, so that a row without any key gives no NaN. */
export const HIDDEN = -1e30;

/** Half-open range of keys that queries [i0, i1) may see, as far as the host knows it. */
export function keyRange(i0: number, i1: number, numKeys: number, inputs: OpInputs<MaskInput>, attrs: AttentionAttrs): [number, number] {
  if (inputs.queryPositions || inputs.keyPositions) return [0, numKeys];
  const lo = attrs.windowLeft >= 0 ? i0 + attrs.queryOffset - attrs.windowLeft : 0;
  const hi = attrs.causal ? i1 + attrs.queryOffset : numKeys;
  const from = Math.min(Math.max(lo, 0), numKeys);
  return [from, Math.max(from, Math.min(hi, numKeys))];
}

/**
 * Which of the keys [j0, j1) each of the queries [i0, i1) sees, (B or 1, 1, queries, keys) bool; `undefined` when all see all.
 * The rules are and-ed; positions stand in for indices where they are given, and a key at a negative position is no key.
 */
export function visibleKeys(range: { i0: number; i1: number; j0: number; j1: number }, inputs: OpInputs<MaskInput>, attrs: AttentionAttrs): tf.Tensor4D | undefined {
  const { i0, i1, j0, j1 } = range;
  const queries = i1 - i0;
  const keys = j1 - j0;
  const { querySegments, keySegments, keyLengths, queryPositions, keyPositions } = inputs;
  const rules: tf.Tensor[] = [];
  const column = (t: tf.Tensor) => tf.reshape(tf.slice(t, [0, i0], [t.shape[0]!, queries]), [t.shape[0]!, 1, queries, 1]);
  const row = (t: tf.Tensor) => tf.reshape(tf.slice(t, [0, j0], [t.shape[0]!, keys]), [t.shape[0]!, 1, 1, keys]);
  const indices = (from: number, to: number, shape: number[]) => tf.reshape(tf.range(from, to, 1, 'int32'), shape);
  if (attrs.causal || attrs.windowLeft >= 0) {
    const { queryOffset, windowLeft } = attrs;
    // Unneeded comparisons cost a full pass over the mask: leave out what the indices already decide.
    const byIndex = !queryPositions && !keyPositions;
    const needCausal = attrs.causal && !(byIndex && j1 - 1 <= i0 + queryOffset);
    const needWindow = windowLeft >= 0 && !(byIndex && j0 >= i1 - 1 + queryOffset - windowLeft);
    if (needCausal || needWindow) {
      const q = queryPositions ? column(queryPositions) : indices(i0 + queryOffset, i1 + queryOffset, [1, 1, queries, 1]);
      const k = keyPositions ? row(keyPositions) : indices(j0, j1, [1, 1, 1, keys]);
      if (needCausal) rules.push(tf.lessEqual(k, q));
      if (needWindow) rules.push(tf.greaterEqual(k, tf.sub(q, tf.scalar(windowLeft, 'int32'))));
    }
  }
  if (keyPositions) rules.push(tf.greaterEqual(row(keyPositions), tf.scalar(0, 'int32')));
  if (querySegments && keySegments) {
    const [q, k] = [column(querySegments), row(keySegments)];
    rules.push(attrs.segmentRule === 'equal' ? tf.equal(k, q) : tf.lessEqual(k, q));
  }
  if (keyLengths) rules.push(tf.less(indices(j0, j1, [1, 1, 1, keys]), tf.reshape(keyLengths, [-1, 1, 1, 1])));
  if (rules.length === 0) return undefined;
  const all = rules.reduce((a, b) => tf.logicalAnd(a, b));
  // A rule of keys alone says the same for every query.
  return (all.shape[2] === queries ? all : tf.tile(all, [1, 1, queries, 1])) as tf.Tensor4D;
}

/** The same as something to add to scores: 0 where visible, `HIDDEN` elsewhere. */
export function maskBias(range: { i0: number; i1: number; j0: number; j1: number }, inputs: OpInputs<MaskInput>, attrs: AttentionAttrs): tf.Tensor4D | undefined {
  return tf.tidy(() => {
    const visible = visibleKeys(range, inputs, attrs);
    return visible && (tf.mul(tf.sub(1, tf.cast(visible, 'float32')), HIDDEN) as tf.Tensor4D);
  });
}
