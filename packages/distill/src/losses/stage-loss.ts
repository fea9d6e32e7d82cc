import * as tf from '@tensorflow/tfjs-core';
import { ConfigError, segmentPool } from '@bytelm/core';
import { fusedLabels, patchesAtBoundaries, type ByteRows } from '../alignment/byte-rows.js';
import { labelLogProbs, sumOverPatches } from '../likelihood/patch-likelihood.js';
import { boundaryLoss } from './boundary-loss.js';
import { byteDistillLoss } from './byte-loss.js';
import { encoderMatchLoss, type Distance } from './encoder-loss.js';
import { exactDistillLoss, type Divergence } from './exact-loss.js';

export interface StageLossWeights {
  boundary: number;
  encoder: number;
  distill: number;
  crossEntropy: number;
  /** Of `byteDistillLoss`: the teacher's whole distribution at every byte. Not in the published runs; default 0. */
  byteDistill?: number | undefined;
}

export interface StageLossConfig {
  /** Weights of the parts; those with weight 0 are not computed. */
  weights: StageLossWeights;
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
   * `plain` compares only what is the same event for both sides: the last patch of a row is left out of the distillation (whether it ends is
   * not known), and a token whose boundary before a document end was left out counts together with that end.
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
  /** (B, n, 2V) of the student; for `distill` and `crossEntropy`. */
  logits?: tf.Tensor3D;
  /** (B, n) of its boundary predictor. */
  boundaryLogProb?: tf.Tensor2D;
  /** (B*n) the boundaries that the forward pass used; default the labels'. They decide which labels are fused. */
  boundaryMask?: ArrayLike<number>;
  /** (B*n) what each position predicts, in the ids of the logits. Default `fusedLabels`; for a student without boundaries in its output `rows.labels`. */
  labels?: Int32Array | undefined;
  /** (B, P) the teacher's likelihood of each patch, `tokenLogLikelihoods`. */
  teacherLogProb?: tf.Tensor2D;
  /** What the teacher says about every byte, `TeacherBytes.targets` as (B, n, 2V) and (B, n); for `byteDistill`. */
  bytes?: { targets: tf.Tensor; mask: tf.Tensor } | undefined;
  /** (B, P) log-probabilities that white space follows each patch, of teacher and student. */
  space?: { teacher: tf.Tensor; student: tf.Tensor };
  /** (B, P, D) what the compared block makes of pooled patches and of the teacher's embeddings, row j for the j-th boundary. */
  encoder?: { student: tf.Tensor3D; teacher: tf.Tensor3D };
}

/**
 * Every loss of a byteification stage as a pure function of what student and teacher said: weighted parts by name, all to be added.
 * Differentiable. Parts: `boundary`, `encoder`, `distill`, `crossEntropy`, `byteDistill`.
 * @throws ConfigError when an input of a part with weight is missing.
 */
export function stageLosses(inputs: StageLossInputs, config: StageLossConfig): Record<string, tf.Scalar> {
  const { rows } = inputs;
  const { weights } = config;
  const B = rows.batch;
  const labels = tf.tensor2d(inputs.labels ?? fusedLabels(rows, inputs.boundaryMask), [B, rows.length], 'int32');
  const valid = rows.labels.reduce((n, y) => n + (y >= 0 ? 1 : 0), 0);
  const isPublished = config.normalization === 'published';
  const weighted = (loss: tf.Tensor, weight: number) => tf.mul(loss, weight) as tf.Scalar;
  const parts: Record<string, tf.Scalar> = {};
  // Both read the same: a softmax over all logits is made once.
  const each = weights.crossEntropy || weights.distill ? labelLogProbs(needed(inputs.logits, 'logits'), labels) : undefined;
  if (weights.crossEntropy) {
    const mean = tf.div(tf.neg(tf.sum(each!)), Math.max(1, valid));
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
  if (weights.distill) parts.distill = weighted(distillPart(inputs, config, each!, valid, isPublished), weights.distill);
  if (weights.byteDistill) parts.byteDistill = weighted(byteDistillLoss(needed(inputs.logits, 'logits'), needed(inputs.bytes, 'bytes')), weights.byteDistill);
  return parts;
}

function boundaryPart(rows: ByteRows, logProb: tf.Tensor2D, lookahead: number, valid: number, isPublished: boolean): tf.Tensor {
  const { batch, length, labels } = rows;
  const mask = Float32Array.from(labels, (y, i) => (y >= 0 && (i % length) + lookahead < length ? 1 : 0));
  const options = { labels: tf.tensor2d(Float32Array.from(rows.boundaryLabels), [batch, length]), mask: tf.tensor2d(mask, [batch, length]) };
  if (!isPublished) return boundaryLoss(logProb, options);
  return tf.div(boundaryLoss(logProb, { ...options, reduction: 'sum' }), valid);
}

function distillPart({ rows, logits: given, teacherLogProb, space }: StageLossInputs, { divergence, temperature, debias }: StageLossConfig, each: tf.Tensor, valid: number, isPublished: boolean): tf.Tensor {
  const { batch, length, patches } = rows;
  const logits = needed(given, 'logits');
  const said = needed(teacherLogProb, 'teacherLogProb');
  const emits = logits.shape[2] >= 2 * rows.student.numIds;
  const events = !isPublished && !debias && emits ? eventsOf(rows) : { ofBytes: rows.patchIds, mask: predictedPatches(rows) };
  let student: tf.Tensor = sumOverPatches(each, { patchIds: tf.tensor2d(events.ofBytes, [batch, length], 'int32'), patches });
  let teacher: tf.Tensor = events.ofTokens ? tf.squeeze(segmentPool(tf.expandDims(said, -1), tf.tensor2d(events.ofTokens, [batch, patches], 'int32'), patches, 'sum'), [2]) : said;
  if (debias) {
    const follow = needed(space, 'space');
    student = tf.add(student, follow.student);
    teacher = tf.add(teacher, follow.teacher);
  }
  const options = { teacher, divergence, temperature, mask: tf.tensor2d(events.mask, [batch, patches]) };
  if (!isPublished) return exactDistillLoss(student, options);
  // The mean over all B (P − 1) slots, divided by the share of valid bytes.
  return tf.mul(exactDistillLoss(student, { ...options, reduction: 'sum' }), (batch * length) / (batch * (patches - 1) * valid));
}

interface DistillEvents {
  /** (B*n) and (B*P) the event that a byte or token is part of. */
  ofBytes: Int32Array;
  ofTokens?: Int32Array;
  /** (B*P) 1 for events that are compared. */
  mask: Float32Array;
}

/**
 * What student and teacher can be compared in exactly: tokens from one labelled boundary to the next. Where a boundary was left out (before a
 * document end), the student has one event for two tokens. The last one of a row is none: nobody knows whether a patch ends there.
 */
function eventsOf({ batch, length, patches, patchIds, patchMask, boundaryLabels, lengths }: ByteRows): DistillEvents {
  const ofBytes = new Int32Array(batch * length).fill(patches);
  const ofTokens = new Int32Array(batch * patches).fill(-1);
  const mask = new Float32Array(batch * patches);
  for (let b = 0; b < batch; b++) {
    let event = 0;
    for (let t = 0; t < lengths[b]!; t++) {
      const i = b * length + t;
      ofBytes[i] = event;
      const token = b * patches + patchIds[i]!;
      if (patchMask[token]) ofTokens[token] = event;
      if (boundaryLabels[i]) event++;
    }
    mask.fill(1, b * patches + 1, b * patches + Math.max(1, event - 1));
  }
  return { ofBytes, ofTokens, mask };
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
