import * as tf from '@tensorflow/tfjs-core';
import { oneHotLabels, rowScale, rowWeights, type CrossEntropyAttrs } from './labels.js';

/** logits minus their row maximum, and the log of the sum of its exponentials, (N, V) and (N, 1). */
function shifted(logits: tf.Tensor) {
  const top = tf.max(logits, 1, true);
  const x = tf.sub(logits, top);
  return { x, top, logSum: tf.log(tf.sum(tf.exp(x), 1, true)) };
}

/** Loss of each row, (N, 1), before rows are ignored. */
export function rowLosses(logits: tf.Tensor, labels: tf.Tensor, zLoss: number): tf.Tensor {
  const { x, top, logSum } = shifted(logits);
  const picked = tf.sum(tf.mul(x, oneHotLabels(labels, logits.shape[1]!)), 1, true);
  const nll = tf.sub(logSum, picked);
  return zLoss ? tf.add(nll, tf.mul(tf.square(tf.add(logSum, top)), zLoss)) : nll;
}

/** Losses (N, 1) to what the caller gets: one per row, or their mean over the rows that count (0 if none). */
export function reduceLosses(losses: tf.Tensor, labels: tf.Tensor, { ignoreIndex, isMean }: CrossEntropyAttrs): tf.Tensor {
  const weights = rowWeights(labels, ignoreIndex);
  const weighted = tf.mul(losses, weights);
  return isMean ? tf.div(tf.sum(weighted), tf.maximum(tf.sum(weights), tf.scalar(1))) : tf.reshape(weighted, [labels.size]);
}

/** dlogits = scale * (softmax (1 + 2 z lse) - onehot), scale (N, 1). */
export function logitGradient(logits: tf.Tensor, labels: tf.Tensor, scale: tf.Tensor, zLoss: number): tf.Tensor {
  let p: tf.Tensor = tf.softmax(logits as tf.Tensor2D);
  if (zLoss) {
    const { top, logSum } = shifted(logits);
    p = tf.mul(p, tf.add(tf.mul(tf.add(top, logSum), 2 * zLoss), 1));
  }
  return tf.mul(tf.sub(p, oneHotLabels(labels, logits.shape[1]!)), scale);
}

export function crossEntropyGradient(logits: tf.Tensor, labels: tf.Tensor, dloss: tf.Tensor, attrs: CrossEntropyAttrs): tf.Tensor {
  return logitGradient(logits, labels, rowScale(rowWeights(labels, attrs.ignoreIndex), dloss, attrs.isMean), attrs.zLoss);
}
