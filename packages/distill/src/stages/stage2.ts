import { ConfigError, type HierarchicalLM, type StageRecord } from '@bytelm/core';
import type { ByteRows } from '../alignment/byte-rows.js';
import { PUBLISHED_STAGE2, stageLosses } from '../losses/stage-loss.js';
import { logOf, Stage, type Prepared, type StageOptions, type StagePass } from './stage.js';

export interface Stage2Options extends StageOptions {
  /** Patches end where the tokenizer says, not where the student's predictor does. Default false, as published. */
  teacherForceBoundaries?: boolean | undefined;
}

/**
 * Stage 2, the student alone and whole: cross-entropy of bytes and boundaries end to end, and the boundary loss. Patches end where its own
 * predictor decides; no gradient flows through that decision, and the labels of the boundary loss stay the tokenizer's. With rows of
 * `CompressedRows` in place of `TokenRows` it is the stage for higher compression.
 *
 * @source Bolmo, arXiv 2512.15586, sections 3.2 and 5.1.
 */
export class Stage2 extends Stage {
  readonly teacherForceBoundaries: boolean;

  /** @throws ConfigError for losses that need a teacher. */
  constructor(student: HierarchicalLM, { losses = PUBLISHED_STAGE2, teacherForceBoundaries = false, ...options }: Stage2Options = {}) {
    super(student, losses, options);
    if (losses.weights.encoder || losses.weights.distill) throw new ConfigError('[Stage2] losses: expected weight 0 for `encoder` and `distill`, which need a teacher. Hint: Stage1.');
    this.teacherForceBoundaries = teacherForceBoundaries;
  }

  protected trains(): boolean {
    return true;
  }

  protected async prepare(rows: ByteRows): Promise<Prepared> {
    const ctx = this.contextOf(rows);
    const plan = await this.planOf(ctx, this.teacherForceBoundaries ? this.trueBoundaries(rows) : undefined);
    return {
      ctx,
      plan,
      dispose: () => {
        plan?.forEach((s) => s.dispose());
        ctx.dispose();
      },
    };
  }

  protected pass(rows: ByteRows, { ctx, plan }: Prepared): StagePass {
    const record: StageRecord[] = [];
    const logits = this.student.forward(ctx.with({ plan, record }));
    const { segmentation, boundaryProb } = record[0]!;
    const boundaryMask = segmentation.boundaryMask;
    const inputs = { rows, logits, boundaryMask, labels: this.labelsOf(rows, boundaryMask), ...(boundaryProb && { boundaryLogProb: logOf(boundaryProb) }) };
    const parts = stageLosses(inputs, this.losses);
    for (const inner of record.slice(1)) {
      inner.segmentation.dispose();
      inner.context.dispose();
    }
    return { parts, boundaryProb, segmentation };
  }
}
