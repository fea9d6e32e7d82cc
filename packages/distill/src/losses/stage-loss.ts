import * as tf from '@tensorflow/tfjs-core';
import { ConfigError, crossEntropy } from '@bytelm/core';
import { fusedLabels, patchesAtBoundaries, type ByteRows } from '../alignment/byte-rows.js';
import { patchLogLikelihoods } from '../likelihood/patch-likelihood.js';
import { boundaryLoss } from './boundary-loss.js';
import { encoderMatchLoss, type Distance } from './encoder-loss.js';
import { exactDistillLoss, type Divergence } from './exact-loss.js';

export interface StageLossConfig {
  /** Weights of the parts; those with weight 0 are not computed. */
  weights: { boundary: number; encoder: number; distill: number; crossEntropy: number };
  divergence: Divergence;
  temperature: number;
  /** "White space follows" is added to both sides of the distillation loss; needs `space` in the inputs. */
  debias: boolean;
  encoderDistance: Distance;
  /** Positions at the end of a row whose boundary the predictor cannot see. */
  lookahead: number;
  /**
   * What a part is divided by. `plain`: what it counts. `published`: cross-entropy is divided by the share of valid bytes once more, the mean
   * over all patch slots by the same share, and the encoder's sum by the patches that the teacher predicts; to repeat published runs and numbers.
   */
  normalization: 'plain' | 'published';
}

/** The flags of the published stage 1 runs. */
export const PUBLISHED_STAGE1: Readonly<StageLossConfig> = {
  weights: { boundary: 4, encoder: 4, distill: 1, crossEntropy: 1 },
  divergence: 'kl',
  temperature: 5,
  debias: true,
  encoderDistance: 'rms',
  lookahead: 1,
  normalization: 'published',
};

/** Stage 1 as the paper (arXiv 2512.15586, section 3.2) writes it. */
export const PAPER_STAGE1: Readonly<StageLossConfig> = { ...PUBLISHED_STAGE1, weights: { boundary: 4, encoder: 1, distill: 1, crossEntropy: 1 }, divergence: 'crossEntropy', debias: false, encoderDistance: 'l2', normalization: 'plain' };

/** Stage 2: end to end, without a teacher. */
export const PUBLISHED_STAGE2: Readonly<StageLossConfig> = { ...PUBLISHED_STAGE1, weights: { boundary: 4, encoder: 0, distill: 0, crossEntropy: 1 }, debias: false };

export interface StageLossInputs {
  rows: ByteRows;
  /** (B, n, 2V) of the student. */
  logits: tf.Tensor3D;
  /** (B, n) of its boundary predictor. */
  boundaryLogProb?: tf.Tensor2D;
  /** (B*n) the boundaries that the forward pass used; default the labels'. They decide which labels are fused. */
  boundaryMask?: ArrayLike<number>;
  /** (B, P) the teacher's likelihood of each patch, `tokenLogLikelihoods`. */
  teacherLogProb?: tf.Tensor2D;
  /** (B, P) log-probabilities that white space follows each patch, of teacher and student. */
  space?: { teacher: tf.Tensor; student: tf.Tensor };
  /** (B, P, D) what the compared block makes of pooled patches and of the teacher's embeddings, row j for the j-th boundary. */
  encoder?: { student: tf.Tensor3D; teacher: tf.Tensor3D };
}

/**
 * Every loss of a byteification stage as a pure function of what student and teacher said: weighted parts by name, all to be added.
 * Differentiable. Parts: `boundary`, `encoder`, `distill`, `crossEntropy`.
 * @throws ConfigError when an input of a part with weight is missing.
 */
export function stageLosses(inputs: StageLossInputs, config: StageLossConfig): Record<string, tf.Scalar> {
  const { rows } = inputs;
  const { weights } = config;
  const B = rows.batch;
  const labels = tf.tensor2d(fusedLabels(rows, inputs.boundaryMask), [B, rows.length], 'int32');
  const valid = rows.labels.reduce((n, y) => n + (y >= 0 ? 1 : 0), 0);
  const isPublished = config.normalization === 'published';
  const weighted = (loss: tf.Tensor, weight: number) => tf.mul(loss, weight) as tf.Scalar;
  const parts: Record<string, tf.Scalar> = {};
  if (weights.crossEntropy) {
    const mean = crossEntropy(tf.reshape(inputs.logits, [-1, inputs.logits.shape[2]]), tf.reshape(labels, [-1]));
    parts.crossEntropy = weighted(mean, isPublished ? (weights.crossEntropy * B * rows.length) / valid : weights.crossEntropy);
  }
  if (weights.boundary) parts.boundary = weighted(boundaryPart(rows, needed(inputs.boundaryLogProb, 'boundaryLogProb'), config.lookahead, valid, isPublished), weights.boundary);
  if (weights.encoder) {
    const { student, teacher } = needed(inputs.encoder, 'encoder');
    const mask = tf.tensor2d(patchesWithBoundary(rows), [B, rows.patches]);
    const options = { teacher: [teacher], distance: config.encoderDistance, mask };
    const loss = isPublished ? tf.div(encoderMatchLoss([student], { ...options, reduction: 'sum' }), Math.max(1, sum(predictedPatches(rows)))) : encoderMatchLoss([student], options);
    parts.encoder = weighted(loss, weights.encoder);
  }
  if (weights.distill) parts.distill = weighted(distillPart(inputs, config, labels, valid, isPublished), weights.distill);
  return parts;
}

function boundaryPart(rows: ByteRows, logProb: tf.Tensor2D, lookahead: number, valid: number, isPublished: boolean): tf.Tensor {
  const { batch, length, labels } = rows;
  const mask = Float32Array.from(labels, (y, i) => (y >= 0 && (i % length) + lookahead < length ? 1 : 0));
  const options = { labels: tf.tensor2d(Float32Array.from(rows.boundaryLabels), [batch, length]), mask: tf.tensor2d(mask, [batch, length]) };
  if (!isPublished) return boundaryLoss(logProb, options);
  return tf.div(boundaryLoss(logProb, { ...options, reduction: 'sum' }), valid);
}

function distillPart({ rows, logits, teacherLogProb, space }: StageLossInputs, { divergence, temperature, debias }: StageLossConfig, labels: tf.Tensor, valid: number, isPublished: boolean): tf.Tensor {
  const { batch, length, patches } = rows;
  let student: tf.Tensor = patchLogLikelihoods(logits, { labels, patchIds: tf.tensor2d(rows.patchIds, [batch, length], 'int32'), patches });
  let teacher: tf.Tensor = needed(teacherLogProb, 'teacherLogProb');
  if (debias) {
    const follow = needed(space, 'space');
    student = tf.add(student, follow.student);
    teacher = tf.add(teacher, follow.teacher);
  }
  const mask = tf.tensor2d(predictedPatches(rows), [batch, patches]);
  const options = { teacher, divergence, temperature, mask };
  if (!isPublished) return exactDistillLoss(student, options);
  // The mean over all B (P − 1) slots, divided by the share of valid bytes.
  return tf.mul(exactDistillLoss(student, { ...options, reduction: 'sum' }), (batch * length) / (batch * (patches - 1) * valid));
}

/** (B*P) 1 for patches that exist and are predicted: all but the begin symbol's. */
const predictedPatches = ({ patches, patchMask }: ByteRows): Float32Array => Float32Array.from(patchMask, (m, i) => (i % patches ? m : 0));
const sum = (values: Float32Array): number => values.reduce((a, b) => a + b, 0);

/** (B*P) 1 for as many patches as a row has boundaries: where one is left out (before a document end), the student has fewer patches. */
const patchesWithBoundary = (rows: ByteRows): Float32Array => Float32Array.from(patchesAtBoundaries(rows), (p) => (p >= 0 ? 1 : 0));

function needed<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new ConfigError(`[stageLosses] \`${name}\`: it is missing, but the configuration gives its loss a weight.`);
  return value;
}
