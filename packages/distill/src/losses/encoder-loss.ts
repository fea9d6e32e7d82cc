import * as tf from '@tensorflow/tfjs-core';
import { checkShape, ConfigError, gatherRows, stopGradient } from '@bytelm/core';
import { vectorDistanceOp, type Distance } from '../kernels/vector-distance.js';
import { reduceLosses, type ReduceOptions } from './reduce.js';

export type { Distance };

export interface EncoderMatchOptions extends ReduceOptions {
  /** The teacher's vectors at the same depths, (B, P, D) each; no gradient flows to them. */
  teacher: readonly tf.Tensor[];
  /** Weight of each depth; those with weight 0 are not computed. Default 1 each. */
  weights?: readonly number[];
  /**
   * `rms` (published code): root of the mean square difference; `l2` (the paper): its sum; `relativeRms`: `rms` in units of the teacher's
   * own RMS; `cosine`: 1 − cosine. Default `rms`.
   */
  distance?: Distance;
}

/**
 * Makes pooled patches do in the main network what subword embeddings do: distances of the student's vectors from the teacher's after some
 * of its (frozen) blocks, (B, P) each.
 *
 * @param student one (B, P, D) tensor a depth, e.g. the pooled patches and what the first four blocks make of them.
 * @throws ShapeError, ConfigError
 * @source Bolmo, arXiv 2512.15586, L_E.
 */
export function encoderMatchLoss(student: readonly tf.Tensor[], { teacher, weights = student.map(() => 1), distance = 'rms', ...options }: EncoderMatchOptions): tf.Tensor {
  if (!student.length || teacher.length !== student.length || weights.length !== student.length) {
    throw new ConfigError(`[encoderMatchLoss] expected as many teacher tensors and weights as student tensors, and one at least; got ${student.length}, ${teacher.length} and ${weights.length}.`);
  }
  const dims = checkShape('encoderMatchLoss', student[0], 'student', '(B, P, D)', {}, 'float32');
  student.forEach((s, i) => {
    checkShape('encoderMatchLoss', s, `student[${i}]`, '(B, P, D)', dims, 'float32');
    checkShape('encoderMatchLoss', teacher[i], `teacher[${i}]`, '(B, P, D)', dims, 'float32');
  });
  if (options.mask) checkShape('encoderMatchLoss', options.mask, 'mask', '(B, P)', dims, 'float32');
  return tf.tidy(() => {
    const parts = student.flatMap((s, i) => (weights[i] ? [tf.mul(distances(s, teacher[i]!, distance), weights[i]!)] : []));
    const total = parts.length ? parts.reduce((a, b) => tf.add(a, b)) : tf.zeros([dims.B!, dims.P!]);
    return reduceLosses(total, options);
  });
}

export interface PatchEmbeddingOptions extends ReduceOptions {
  /** (B, P, D) the teacher's embedding of each patch. */
  embeddings: tf.Tensor;
  /** (B, L) int32, the patch of each byte; P and more: padding. */
  patchIds: tf.Tensor;
  distance?: Distance;
}

/**
 * Pulls the vector of byte t + 1 towards the teacher's embedding of the patch that byte t belongs to: after a patch's last byte the encoder
 * then holds what the subword embedding was.
 *
 * @param hidden (B, L, D) the student's byte vectors.
 * @param options.mask (B, L); the first position never counts. `mean` divides by the positions left in it.
 * @source an option of Bolmo's training code, after H-Net's (arXiv 2507.07955) byte-level embedding.
 */
export function patchEmbeddingLoss(hidden: tf.Tensor, { embeddings, patchIds, distance = 'rms', mask, reduction }: PatchEmbeddingOptions): tf.Tensor {
  const dims = checkShape('patchEmbeddingLoss', hidden, 'hidden', '(B, L, D)', {}, 'float32');
  checkShape('patchEmbeddingLoss', embeddings, 'embeddings', '(B, P, D)', dims, 'float32');
  checkShape('patchEmbeddingLoss', patchIds, 'patchIds', '(B, L)', dims, 'int32');
  if (mask) checkShape('patchEmbeddingLoss', mask, 'mask', '(B, L)', dims, 'float32');
  const [B, L, D] = [dims.B!, dims.L!, dims.D!];
  return tf.tidy(() => {
    const wanted = gatherRows(embeddings, tf.slice(patchIds, [0, 0], [B, L - 1]));
    const losses = distances(tf.slice(hidden, [0, 1, 0], [B, L - 1, D]), wanted, distance);
    return reduceLosses(losses, { mask: mask && tf.slice(mask, [0, 1], [B, L - 1]), reduction });
  });
}

/** (B, P, D) twice → (B, P). */
function distances(student: tf.Tensor, teacher: tf.Tensor, distance: Distance): tf.Tensor {
  const [B, P, D] = student.shape as [number, number, number];
  const rows = (x: tf.Tensor) => tf.reshape(x, [B * P, D]);
  return tf.reshape(vectorDistanceOp({ student: rows(student), teacher: rows(stopGradient(teacher)) }, { distance })[0]!, [B, P]);
}
