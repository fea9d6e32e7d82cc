import * as tf from '@tensorflow/tfjs-core';
import { patchCounts, type ByteRows } from '../alignment/byte-rows.js';
import type { SubwordVocabulary } from '../alignment/vocabulary.js';
import { TeacherBytes } from '../likelihood/teacher-bytes.js';
import type { Teacher, TokenShape } from './teacher.js';

/** What a teacher says about every byte of a batch: `targets` (B, n, V), which the caller frees, and on the host `mask` (B*n), 1 where a row is a distribution. */
export interface TeacherDistributions {
  targets: tf.Tensor;
  mask: Float32Array;
}

/** Makes the targets of `byteDistillLoss` out of a teacher's distributions over tokens. */
export class TeacherReader {
  private bytes: TeacherBytes | undefined;

  constructor(
    private readonly teacher: Teacher,
    private readonly vocabulary: SubwordVocabulary,
    /** V of the student. */
    private readonly width: number,
  ) {}

  /** Runs the teacher over a batch. */
  read(rows: ByteRows): Promise<TeacherDistributions> {
    const probs = tf.tidy(() => tf.softmax(this.teacher.read(rows.teacherIds, tokenShape(rows), { logits: true }).logits!));
    return this.ofProbs(rows, probs);
  }

  /** @param probs (B, P, tokens) what the teacher said; this frees it. */
  async ofProbs(rows: ByteRows, probs: tf.Tensor): Promise<TeacherDistributions> {
    const { batch, length } = rows;
    const values = (await probs.data().finally(() => probs.dispose())) as Float32Array;
    this.bytes ??= new TeacherBytes(this.vocabulary, { student: rows.student });
    const { targets, mask } = this.bytes.targets(rows, values, this.teacher.vocabSize, { width: this.width });
    return { targets: tf.tensor3d(targets, [batch, length, this.width]), mask };
  }
}

/** How the teacher's ids of a batch lie in memory. */
export const tokenShape = (rows: ByteRows): TokenShape => ({ batch: rows.batch, length: rows.patches, lengths: patchCounts(rows) });
