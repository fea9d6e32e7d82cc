import * as tf from '@tensorflow/tfjs-core';
import type { OpInputs } from '../../op/define-op.js';
import { shapeOf } from '../host.js';

export interface SampleAttrs {
  /** 0: the most likely id. */
  temperature: number;
  /** 0: all. */
  topK: number;
  /** 1: all. */
  topP: number;
}

/** logits (B, V), draws (B) in [0, 1) → ids (B) int32: ids from the most likely down, cut, and the first whose cumulative mass exceeds the draw. */
export function portableSample({ logits, draws }: OpInputs<'logits' | 'draws'>, { temperature, topK, topP }: SampleAttrs): tf.Tensor[] {
  const [batch, classes] = shapeOf(logits!);
  const k = temperature === 0 ? 1 : Math.min(classes!, topK || classes!);
  const { values, indices } = tf.topk(logits!, k, true);
  if (k === 1) return [tf.reshape(indices, [batch!])];
  const column = (x: tf.Tensor) => tf.reshape(x, [batch!, 1]);
  const p = tf.exp(tf.div(tf.sub(values, tf.slice(values, [0, 0], [batch!, 1])), temperature));
  const before = tf.cumsum(p, 1, true);
  const isKept = topP < 1 ? tf.less(before, tf.mul(tf.sum(p, 1, true), topP)) : tf.greaterEqual(before, 0);
  const kept = tf.cast(isKept, 'float32');
  const mass = tf.mul(p, kept);
  const passed = tf.lessEqual(tf.cumsum(mass, 1), tf.mul(tf.sum(mass, 1, true), column(draws!)));
  // Rounding may leave a draw behind the last one.
  const rank = tf.minimum(tf.sum(tf.cast(passed, 'float32'), 1), tf.sub(tf.sum(kept, 1), 1));
  const isPicked = tf.equal(column(rank), tf.reshape(tf.range(0, k, 1, 'float32'), [1, k]));
  return [tf.cast(tf.sum(tf.mul(tf.cast(indices, 'float32'), tf.cast(isPicked, 'float32')), 1), 'int32')];
}
