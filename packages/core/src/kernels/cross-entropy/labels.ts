import * as tf from '@tensorflow/tfjs-core';
import { DataError } from '../../errors.js';

export interface CrossEntropyAttrs {
  ignoreIndex: number;
  /** Weight of the squared log normalizer, 0 = none. */
  zLoss: number;
  /** Mean over the rows that count (true) or one value per row. */
  isMean: boolean;
}

/** Throws for a label that is neither a class nor the ignored one. */
export function labelOutOfRange(label: number, row: number, classes: number, ignoreIndex: number): never {
  throw new DataError(`[crossEntropy] expected labels from 0 to ${classes - 1} or ${ignoreIndex} (ignored), got ${label} at row ${row}. Hint: do the labels belong to this vocabulary?`);
}

/** The same check on host values. */
export function checkHostLabels(labels: ArrayLike<number>, classes: number, ignoreIndex: number): void {
  for (let r = 0; r < labels.length; r++) {
    const label = labels[r];
    if (label !== ignoreIndex && !(label >= 0 && label < classes)) labelOutOfRange(label, r, classes, ignoreIndex);
  }
}

/** 1 where the row counts, 0 where its label says to ignore it, (N, 1). */
export function rowWeights(labels: tf.Tensor, ignoreIndex: number): tf.Tensor2D {
  return tf.reshape(tf.cast(tf.notEqual(labels, tf.scalar(ignoreIndex, 'int32')), 'float32'), [labels.size, 1]);
}

/** One-hot labels (N, V); rows of zeros for labels outside 0..V-1. */
export function oneHotLabels(labels: tf.Tensor, classes: number): tf.Tensor2D {
  const range = tf.reshape(tf.range(0, classes, 1, 'int32'), [1, classes]);
  return tf.cast(tf.equal(tf.reshape(labels, [labels.size, 1]), range), 'float32') as tf.Tensor2D;
}

/** What each row's gradient is multiplied with, (N, 1): dloss per row, and for a mean 1 / number of rows that count (0 if none). */
export function rowScale(weights: tf.Tensor2D, dloss: tf.Tensor, isMean: boolean): tf.Tensor {
  if (!isMean) return tf.mul(weights, tf.reshape(dloss, weights.shape));
  return tf.mul(weights, tf.div(dloss, tf.maximum(tf.sum(weights), tf.scalar(1))));
}
