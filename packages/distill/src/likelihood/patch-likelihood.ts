import * as tf from '@tensorflow/tfjs-core';
import { checkShape, crossEntropy, gatherRows, segmentPool, ShapeError } from '@bytelm/core';
import { foldHalvesOp, logMassOp } from '../kernels/log-mass.js';

/**
 * Chain rule over bytes and boundaries: the log-likelihood of each patch is the sum of those of its bytes, the last one's with "and a patch
 * ends" in it. That is the likelihood of the subword that spells the patch, not more and not less.
 *
 * @param logits (B, L, 2V) of a student whose second half says that a patch ends.
 * @param options.labels (B, L) int32, `fusedLabels`: what follows position t; −100 nothing.
 * @param options.patchIds (B, L) int32, the patch of each byte.
 * @param options.patches P.
 * @returns (B, P) nats, 0 for patch 0 (the begin symbol is not predicted) and for patches a row does not have. Differentiable.
 * @throws ShapeError
 */
export function patchLogLikelihoods(logits: tf.Tensor, { labels, patchIds, patches }: { labels: tf.Tensor; patchIds: tf.Tensor; patches: number }): tf.Tensor2D {
  const dims = checkShape('patchLogLikelihoods', logits, 'logits', '(B, L, V)', {}, 'float32');
  checkShape('patchLogLikelihoods', labels, 'labels', '(B, L)', dims, 'int32');
  checkShape('patchLogLikelihoods', patchIds, 'patchIds', '(B, L)', dims, 'int32');
  return tf.tidy(() => sumOverPatches(labelLogProbs(logits, labels), { patchIds, patches }));
}

/** The same from the likelihood of each label, (B, L) → (B, P). */
export function sumOverPatches(each: tf.Tensor, { patchIds, patches }: { patchIds: tf.Tensor; patches: number }): tf.Tensor2D {
  const [B, L] = patchIds.shape as [number, number];
  return tf.tidy(() => {
    // Position t predicts byte t + 1, and counts for that byte's patch.
    const next = tf.concat([tf.slice(patchIds, [0, 1], [B, L - 1]), tf.fill([B, 1], -1, 'int32')], 1);
    return tf.squeeze(segmentPool(tf.expandDims(each, -1), next, patches, 'sum'), [2]) as tf.Tensor2D;
  });
}

/** (B, L, V) logits → (B, L): log softmax at the labels, 0 where a label is −100. Differentiable. */
export function labelLogProbs(logits: tf.Tensor, labels: tf.Tensor): tf.Tensor2D {
  const dims = checkShape('labelLogProbs', logits, 'logits', '(B, L, V)', {}, 'float32');
  checkShape('labelLogProbs', labels, 'labels', '(B, L)', dims, 'int32');
  return tf.tidy(() => {
    const rows = tf.reshape(logits, [dims.B! * dims.L!, dims.V!]);
    return tf.reshape(tf.neg(crossEntropy(rows, tf.reshape(labels, [-1]), { reduction: 'none' })), [dims.B!, dims.L!]) as tf.Tensor2D;
  });
}

/**
 * The teacher's log-likelihood of each of its tokens.
 * @param logits (B, P, V): position p predicts token p + 1. @param tokenIds (B, P) int32, what the teacher read.
 * @returns (B, P) nats; position p is token p (patch p of the student), position 0 is 0.
 */
export function tokenLogLikelihoods(logits: tf.Tensor, tokenIds: tf.Tensor): tf.Tensor2D {
  const dims = checkShape('tokenLogLikelihoods', logits, 'logits', '(B, P, V)', {}, 'float32');
  checkShape('tokenLogLikelihoods', tokenIds, 'tokenIds', '(B, P)', dims, 'int32');
  const [B, P, V] = [dims.B!, dims.P!, dims.V!];
  return tf.tidy(() => {
    const first = tf.zeros([B, 1]);
    if (P === 1) return first as tf.Tensor2D;
    const each = labelLogProbs(tf.slice(logits, [0, 0, 0], [B, P - 1, V]), tf.slice(tokenIds, [0, 1], [B, P - 1]));
    return tf.concat([first, each], 1) as tf.Tensor2D;
  });
}

/**
 * Log of the probability mass of some classes, e.g. "the next byte is white space".
 * @param logits (..., V). @param set (V) float32, 1 for the classes that count.
 * @returns (...), differentiable by `logits`.
 */
export function logMass(logits: tf.Tensor, set: tf.Tensor): tf.Tensor {
  const dims = checkShape('logMass', logits, 'logits', '(..., V)', {}, 'float32');
  checkShape('logMass', set, 'set', '(V)', dims, 'float32');
  return tf.tidy(() => tf.reshape(logMassOp({ logits: tf.reshape(logits, [-1, dims.V!]), set }, {})[0]!, logits.shape.slice(0, -1)));
}

/**
 * Log-probability that what follows each patch is one of some classes: the published runs add it to both sides of the distillation loss for
 * white space ("debiasing"). With patch ends in the output the objective is exact without it.
 * @param logits (B, L, V). @param options.set (V) float32. @param options.ends (B, P) int32, `patchEnds`.
 * @returns (B, P), 0 for patches a row does not have.
 */
export function logMassAfterPatches(logits: tf.Tensor, { set, ends }: { set: tf.Tensor; ends: tf.Tensor }): tf.Tensor2D {
  const dims = checkShape('logMassAfterPatches', logits, 'logits', '(B, L, V)', {}, 'float32');
  checkShape('logMassAfterPatches', ends, 'ends', '(B, P)', dims, 'int32');
  // Only the rows behind patches: a fraction of all, and each costs two passes over V.
  return tf.tidy(() => tf.mul(logMass(gatherRows(logits, ends), set), tf.cast(tf.greaterEqual(ends, tf.scalar(0, 'int32')), 'float32')) as tf.Tensor2D);
}

/**
 * Folds a fused output: `log p(byte) = log(softmax[b] + softmax[b + V])`. Likelihoods of text need it; without, half of every byte's
 * probability is forgotten.
 * @param logits (..., 2V). @returns (..., V) log-probabilities, differentiable.
 * @throws ShapeError
 */
export function foldBoundaries(logits: tf.Tensor): tf.Tensor {
  const dims = checkShape('foldBoundaries', logits, 'logits', '(..., W)', {}, 'float32');
  const W = dims.W!;
  if (W % 2) throw new ShapeError(`[foldBoundaries] \`logits\`: expected two halves of equal width, got ${W} columns. Hint: fused ids are the plain ones plus V.`);
  return tf.tidy(() => tf.reshape(foldHalvesOp({ logits: tf.reshape(logits, [-1, W]) }, {})[0]!, [...logits.shape.slice(0, -1), W / 2]));
}
