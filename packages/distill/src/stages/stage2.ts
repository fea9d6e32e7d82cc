import * as tf from '@tensorflow/tfjs-core';
import { ConfigError, Rng, type HierarchicalLM, type StageRecord } from '@bytelm/core';
import { cutAlike, type ByteRows } from '../alignment/byte-rows.js';
import type { SubwordVocabulary } from '../alignment/vocabulary.js';
import { PUBLISHED_STAGE2, stageLosses, type StageLossInputs } from '../losses/stage-loss.js';
import { logOf, Stage, type Prepared, type StageOptions, type StagePass } from './stage.js';
import type { Teacher } from './teacher.js';
import { TeacherReader, type TeacherDistributions } from './teacher-distributions.js';

export interface Stage2Options extends StageOptions {
  /**
   * Patches end where the tokenizer says, not where the student's predictor does: never (false, as published), always (true), or in such a share of
   * the batches. Which ones follows from what is in them, so that a resumed run does the same. A mixture learns both ways of being cut.
   */
  teacherForceBoundaries?: boolean | number | undefined;
  /** For losses with a weight for `byteDistill`: the teacher stays, and what it reads. */
  teacher?: { model: Teacher; vocabulary: SubwordVocabulary } | undefined;
}

/** What is known about a batch ahead. */
interface Stage2Side extends Prepared {
  said?: TeacherDistributions | undefined;
}

/**
 * Stage 2, the student whole: cross-entropy of bytes and boundaries end to end, and the boundary loss. Patches end where its own predictor
 * decides; no gradient flows through that decision, and the labels of the boundary loss stay the tokenizer's. With rows of `CompressedRows`
 * in place of `TokenRows` it is the stage for higher compression.
 *
 * With a weight for `byteDistill` (not in the published runs) the teacher stays: where student and tokenizer cut alike, the student goes on
 * learning its whole distribution beside the text itself.
 *
 * @source Bolmo, arXiv 2512.15586, sections 3.2 and 5.1.
 */
export class Stage2 extends Stage<Stage2Side> {
  /** Share of batches that are cut by the tokenizer. */
  readonly teacherForceBoundaries: number;
  private readonly reader: TeacherReader | undefined;

  /** @throws ConfigError for losses that need a teacher's hidden states, or a teacher that is not there. */
  constructor(student: HierarchicalLM, { losses = PUBLISHED_STAGE2, teacherForceBoundaries = false, teacher, ...options }: Stage2Options = {}) {
    super(student, losses, options);
    if (losses.weights.encoder || losses.weights.distill) throw new ConfigError('[Stage2] losses: expected weight 0 for `encoder` and `distill`, which need a teacher. Hint: Stage1.');
    if (losses.weights.byteDistill && !teacher) throw new ConfigError('[Stage2] losses: `byteDistill` has a weight, but there is no teacher to learn from. Hint: the option `teacher`.');
    teacher?.vocabulary.checkFits(teacher.model.vocabSize, teacher.model.name);
    this.teacherForceBoundaries = Number(teacherForceBoundaries);
    if (!(this.teacherForceBoundaries >= 0 && this.teacherForceBoundaries <= 1)) throw new ConfigError(`[Stage2] teacherForceBoundaries: expected a share from 0 to 1, got ${teacherForceBoundaries}.`);
    this.reader = losses.weights.byteDistill && teacher ? new TeacherReader(teacher.model, teacher.vocabulary, student.vocabSize) : undefined;
  }

  protected trains(): boolean {
    return true;
  }

  protected async prepare(rows: ByteRows): Promise<Stage2Side> {
    const ctx = this.contextOf(rows);
    const plan = await this.planOf(ctx, drawOf(rows) < this.teacherForceBoundaries ? this.trueBoundaries(rows) : undefined);
    const said = await this.reader?.read(rows);
    return {
      ctx,
      plan,
      said,
      dispose: () => {
        said?.targets.dispose();
        plan?.forEach((s) => s.dispose());
        ctx.dispose();
      },
    };
  }

  protected pass(rows: ByteRows, { ctx, plan, said }: Stage2Side): StagePass {
    const record: StageRecord[] = [];
    const logits = this.student.forward(ctx.with({ plan, record }));
    const { segmentation, boundaryProb } = record[0]!;
    const { boundaryMask } = segmentation;
    const inputs: StageLossInputs = { rows, logits, boundaryMask, labels: this.labelsOf(rows, boundaryMask), bytes: said && sharedBytes(rows, boundaryMask, said), ...(boundaryProb && { boundaryLogProb: logOf(boundaryProb) }) };
    const parts = stageLosses(inputs, this.losses);
    for (const inner of record.slice(1)) {
      inner.segmentation.dispose();
      inner.context.dispose();
    }
    return { parts, boundaryProb, segmentation };
  }
}

/** A number from 0 to 1 that looks drawn and is the same whenever the batch is. */
const drawOf = ({ ids }: ByteRows): number => new Rng(ids.reduce((hash, id) => Math.imul(hash ^ id, 0x01000193), 0x811c9dc5) >>> 0).next();

/** The teacher's distributions that hold in the student's own patches. */
function sharedBytes(rows: ByteRows, boundaryMask: ArrayLike<number>, { targets, mask }: TeacherDistributions): StageLossInputs['bytes'] {
  const known = Float32Array.from(cutAlike(rows, boundaryMask), (same, i) => same * mask[i]!);
  return { targets, mask: tf.tensor2d(known, [rows.batch, rows.length]) };
}
