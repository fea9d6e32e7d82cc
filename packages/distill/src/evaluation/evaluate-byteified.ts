import * as tf from '@tensorflow/tfjs-core';
import { canReadSync, ConfigError, DataError, gatherRows, Segmentation, SequenceContext, type HierarchicalLM, type StageRecord } from '@bytelm/core';
import { byteRows, fusedLabels, patchesAtBoundaries, type ByteRows, type StudentVocabulary } from '../alignment/byte-rows.js';
import type { SubwordVocabulary } from '../alignment/vocabulary.js';
import type { TokenStore } from '../data/token-store.js';
import { foldBoundaries, labelLogProbs, tokenLogLikelihoods } from '../likelihood/patch-likelihood.js';
import { boundaryScores, type BoundaryScores } from '../losses/boundary-loss.js';
import { encoderMatchLoss } from '../losses/encoder-loss.js';
import type { Teacher } from '../stages/teacher.js';
import { tokenShape } from '../stages/teacher-distributions.js';

export interface EvaluateByteifiedOptions {
  /** The tokenizer's, which the tokens are of. */
  vocabulary: SubwordVocabulary;
  /** The model the student was made of: scored on the same rows, and its embeddings compared with the student's patches. */
  teacher?: Teacher | undefined;
  /** Patches of a row: the begin symbol and so many tokens less one. Default 64. */
  patches?: number | undefined;
  /** Rows at once. Default 8. */
  batch?: number | undefined;
  /** Rows to look at. Default: all. */
  maxRows?: number | undefined;
  /** Where patches end: where the student's predictor says (default), or where tokens do. */
  boundaries?: 'predicted' | 'true' | undefined;
  studentVocabulary?: StudentVocabulary | undefined;
  onProgress?: ((progress: { rows: number; total: number; bitsPerByte: number }) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface NatsScore {
  nats: number;
  bitsPerByte: number;
}

export interface ByteifiedReport {
  /** Scored bytes of text; document ends are read, but not scored, by either model. */
  bytes: number;
  rows: number;
  boundaries: 'predicted' | 'true';
  /** Of bytes and boundaries together: with true ones the likelihood of the tokens, to be compared with the teacher's. */
  joint: NatsScore;
  /** Of the bytes, whatever the boundary behind them. */
  folded: NatsScore;
  /** The predictor against the tokenizer, at probability 0.5; without a learned chunker missing. */
  boundary?: BoundaryScores | undefined;
  /** As used. */
  bytesPerPatch: number;
  /** The tokenizer's. */
  bytesPerToken: number;
  /** Mean cosine of pooled patches and the teacher's embeddings of the tokens; where there is a teacher of the same width. */
  cosine?: number | undefined;
  teacher?: NatsScore | undefined;
}

interface Sums {
  bytes: number;
  joint: number;
  folded: number;
  teacher: number;
  positions: number;
  usedPatches: number;
  truePatches: number;
  cosine: number;
  compared: number;
  predicted: number[];
  labels: number[];
}

/**
 * How well a student says what its teacher says, on text cut into independent rows of tokens; both models see the same rows, and every byte
 * of text counts once. Behind the last byte of a row nobody knows whether a patch ends: with predicted boundaries that byte is scored folded.
 *
 * @throws ConfigError, DataError
 * @example
 * const { joint, teacher, boundary } = await evaluateByteified(student, heldOut, { vocabulary, teacher: teacherOf(olmo), boundaries: 'true' });
 */
export async function evaluateByteified(student: HierarchicalLM, tokens: TokenStore, options: EvaluateByteifiedOptions): Promise<ByteifiedReport> {
  const { vocabulary, teacher, patches = 64, batch = 8, boundaries = 'predicted', studentVocabulary, onProgress, signal } = options;
  if (!(Number.isInteger(patches) && patches >= 2)) throw new ConfigError(`[evaluateByteified] patches: expected a whole number from 2, got ${patches}.`);
  if (teacher) vocabulary.checkFits(teacher.vocabSize, teacher.name);
  if (!tokens.size) throw new DataError('[evaluateByteified] expected tokens, got none.');
  const total = Math.min(options.maxRows ?? Infinity, Math.ceil(tokens.size / (patches - 1)));
  const sums: Sums = { bytes: 0, joint: 0, folded: 0, teacher: 0, positions: 0, usedPatches: 0, truePatches: 0, cosine: 0, compared: 0, predicted: [], labels: [] };
  for (let first = 0; first < total; first += batch) {
    const some = Array.from({ length: Math.min(batch, total - first) }, (_, i) => tokens.ids.subarray((first + i) * (patches - 1), (first + i + 1) * (patches - 1)));
    const rows = byteRows(some, { vocabulary, maxPatches: patches, ...(studentVocabulary && { student: studentVocabulary }) });
    await scoreStudent(student, rows, boundaries, teacher, sums);
    if (teacher) await scoreTeacher(teacher, rows, vocabulary, sums);
    onProgress?.({ rows: first + some.length, total, bitsPerByte: score(sums.joint, sums.bytes).bitsPerByte });
    signal?.throwIfAborted();
  }
  return {
    bytes: sums.bytes,
    rows: total,
    boundaries,
    joint: score(sums.joint, sums.bytes),
    folded: score(sums.folded, sums.bytes),
    ...(sums.labels.length && { boundary: boundaryScores(sums.predicted, sums.labels) }),
    bytesPerPatch: sums.positions / Math.max(1, sums.usedPatches),
    bytesPerToken: sums.positions / Math.max(1, sums.truePatches),
    ...(sums.compared && { cosine: sums.cosine / sums.compared }),
    ...(teacher && { teacher: score(sums.teacher, sums.bytes) }),
  };
}

const score = (nats: number, bytes: number): NatsScore => ({ nats, bitsPerByte: bytes ? nats / (Math.LN2 * bytes) : 0 });

async function scoreStudent(student: HierarchicalLM, rows: ByteRows, boundaries: 'predicted' | 'true', teacher: Teacher | undefined, sums: Sums): Promise<void> {
  const { batch: B, length: L } = rows;
  const isFull = rows.lengths.every((n) => n === L);
  const ctx = student.withDocuments(new SequenceContext(B, L, { ids: rows.ids, lengths: isFull ? undefined : rows.lengths }));
  const truth = new Segmentation(B, L, rows.boundaryLabels.slice(), { drawnAt: 'end', padTo: rows.patches });
  const given = boundaries === 'true' ? ctx.with({ plan: [truth] }) : ctx;
  const record: StageRecord[] = [];
  const run = given.with({ record, plan: canReadSync() ? given.plan : await student.plan(given) });
  const emits = student.boundaryFrom !== undefined;
  const { joint, folded, prob, cosine } = tf.tidy(() => {
    const logits = student.forward(run);
    const used = record[0]!;
    const labels = (values: Int32Array) => tf.tensor2d(values, [B, L], 'int32');
    const folded = emits ? labelLogProbs(foldBoundaries(logits), labels(rows.labels)) : labelLogProbs(logits, labels(rows.labels));
    const joint = emits ? labelLogProbs(logits, labels(wholeLabels(rows, used.segmentation.boundaryMask))) : folded;
    return { folded, joint: tf.clone(joint), prob: used.boundaryProb && tf.clone(used.boundaryProb), cosine: teacher && patchCosine(student, rows, ctx, truth, teacher) };
  });
  const [jointNats, foldedNats, probs, cosines] = await Promise.all([joint.data(), folded.data(), prob?.data(), cosine?.data()]);
  const used = record[0]!.segmentation;
  rows.labels.forEach((label, i) => {
    if (label < 0) return;
    if (probs) {
      sums.predicted.push(probs[i]! > 0.5 ? 1 : 0);
      sums.labels.push(rows.boundaryLabels[i]!);
    }
    if (label === rows.student.eos || label === rows.student.pad) return;
    const isOpenEnd = boundaries === 'predicted' && ((i + 1) % L === 0 || !(rows.labels[i + 1]! >= 0));
    sums.bytes++;
    sums.joint -= (isOpenEnd ? foldedNats : jointNats)[i]!;
    sums.folded -= foldedNats[i]!;
  });
  sums.positions += rows.lengths.reduce((a, b) => a + b, 0);
  sums.usedPatches += used.numChunks.reduce((a, b) => a + b, 0);
  sums.truePatches += rows.patchMask.reduce((a, b) => a + b, 0);
  if (cosines) {
    sums.cosine += cosines[0]!;
    sums.compared += cosines[1]!;
  }
  tf.dispose([joint, folded, ...[prob, cosine].filter((t) => t !== undefined)]);
  for (const { segmentation, context } of record) {
    segmentation.dispose();
    context.dispose();
  }
  truth.dispose();
  ctx.dispose();
}

/** `fusedLabels`, the last byte of a row as well: where tokens are given it is known to end one. */
function wholeLabels(rows: ByteRows, boundaryMask: Uint8Array): Int32Array {
  const labels = fusedLabels(rows, boundaryMask);
  rows.lengths.forEach((n, b) => {
    const last = b * rows.length + n - 1;
    if (n > 1 && boundaryMask[last]) labels[last - 1] = rows.labels[last - 1]! + rows.student.numIds;
  });
  return labels;
}

/** (2) sum of cosines between pooled patches and embeddings, and how many there are. Undefined where widths differ. */
function patchCosine(student: HierarchicalLM, rows: ByteRows, ctx: SequenceContext, truth: Segmentation, teacher: Teacher): tf.Tensor1D | undefined {
  const { embed, encoder, downsample } = student.parts;
  if ((downsample.dOut ?? encoder.dOut ?? encoder.dModel) !== teacher.dModel) return undefined;
  const { batch, length, patches } = rows;
  const at = patchesAtBoundaries(rows);
  const counted = Float32Array.from(at, (p) => (p > 0 ? 1 : 0));
  const e = encoder.forward(embed.forward(tf.tensor2d(rows.ids, [batch, length], 'int32'), ctx), ctx);
  const pooled = downsample.forward(e, truth, ctx);
  const embeddings = teacher.read(rows.teacherIds, { batch, length: patches }, { embeddings: true }).embeddings!;
  const wanted = gatherRows(embeddings, tf.tensor2d(at, [batch, patches], 'int32'));
  const mask = tf.tensor2d(counted, [batch, patches]);
  const away = encoderMatchLoss([pooled], { teacher: [wanted], distance: 'cosine', mask, reduction: 'sum' });
  const count = tf.sum(mask);
  return tf.stack([tf.sub(count, away), count]) as tf.Tensor1D;
}

async function scoreTeacher(teacher: Teacher, rows: ByteRows, vocabulary: SubwordVocabulary, sums: Sums): Promise<void> {
  const { batch, patches, teacherIds, patchMask } = rows;
  const each = tf.tidy(() => tokenLogLikelihoods(teacher.read(teacherIds, tokenShape(rows), { logits: true }).logits!, tf.tensor2d(teacherIds, [batch, patches], 'int32')));
  const values = await each.data();
  each.dispose();
  values.forEach((logProb, i) => {
    const special = teacherIds[i] === vocabulary.endId || teacherIds[i] === vocabulary.padId;
    if (i % patches && patchMask[i] && !special) sums.teacher -= logProb;
  });
}
