import * as tf from '@tensorflow/tfjs-core';
import { canReadSync, ConfigError, DataError, Segmentation, SequenceContext, type ByteLM, type HierarchicalLM, type MaybePromise, type ParameterMap } from '@bytelm/core';
import { groupParameters, type LossAndGrads, type ParameterGroup, type TrainableModel, type TrainBatch } from '@bytelm/core/train';
import { fusedLabels, type ByteRows } from '../alignment/byte-rows.js';
import { boundaryScores } from '../losses/boundary-loss.js';
import type { StageLossConfig } from '../losses/stage-loss.js';

/** A batch of bytes that know their patches, as `TokenRows` gives them. */
export interface ByteRowsBatch extends TrainBatch {
  rows: ByteRows;
}

export interface StageOptions {
  losses?: Readonly<StageLossConfig> | undefined;
  /**
   * For students whose head emits no boundaries (BLT, H-Net): the likelihood of a patch is then that of its bytes alone, a bound of the
   * token's from above (the text may go on within a longer token), and the distillation is not exact. Default false: such a student is refused.
   */
  bytesOnly?: boolean | undefined;
  /** Narrows down what is trained. Default: all that the stage trains. */
  trainable?: ((name: string) => boolean) | undefined;
}

export interface StageGroupOptions {
  /** Rate of the main network, as a share of the others'. Default 1; the published stage 2: 0.5. */
  mainRate?: number | undefined;
  /** Of everything but embeddings, which have none. Default 0.1. */
  weightDecay?: number | undefined;
}

/** What a forward pass of a stage says. Tensors live in the tape's scope. */
export interface StagePass {
  parts: Record<string, tf.Scalar>;
  /** (B, n) what the boundary predictor said, where there is one. */
  boundaryProb?: tf.Tensor2D | undefined;
  /** Boundaries that were used. */
  segmentation: Segmentation;
}

/** What a stage prepares before the tape runs. */
export interface Prepared {
  ctx: SequenceContext;
  /** Given boundaries; without them the student decides. */
  plan?: Segmentation[] | undefined;
  dispose(): void;
}

const LOG_FLOOR = 5e-4;

/**
 * What the stages of byteification have in common: a student by interface that is trained on rows of bytes with known patches. It is a model
 * for `trainLoop`, and the student itself for evaluation and generation. Checkpoints hold all of the student (`parameters`), the optimizer
 * gets what the stage trains (`trainable`, `parameterGroups`).
 */
export abstract class Stage<P extends Prepared = Prepared> implements TrainableModel, ByteLM {
  readonly losses: Readonly<StageLossConfig>;
  protected readonly emitsBoundaries: boolean;
  private readonly where: string;
  private readonly chosen: ((name: string) => boolean) | undefined;

  constructor(
    readonly student: HierarchicalLM,
    losses: Readonly<StageLossConfig>,
    { bytesOnly = false, trainable }: StageOptions,
  ) {
    const { chunker } = student.parts;
    this.where = new.target.name;
    this.losses = { ...losses, lookahead: chunker.lookahead };
    this.emitsBoundaries = student.boundaryFrom !== undefined;
    this.chosen = trainable;
    if (!this.emitsBoundaries && !bytesOnly) {
      throw new ConfigError(`[${this.where}] student: its head emits no boundaries, so the likelihood of a patch would be that of its bytes alone. Hint: a BoundaryEmittingLM, or the option bytesOnly.`);
    }
    if (losses.weights.boundary && !chunker.boundaryProb) {
      throw new ConfigError(`[${this.where}] student: its chunker ${chunker.constructor.name} gives no probabilities that a boundary loss could train. Hint: losses with weights.boundary 0, or a BoundaryPredictor.`);
    }
  }

  /** Names of the student's parameters that belong to the stage at all. */
  protected abstract trains(variable: tf.Variable): boolean;
  protected abstract prepare(rows: ByteRows): Promise<P>;
  protected abstract pass(rows: ByteRows, prepared: P): StagePass;

  /** What gets gradients, by name; tied parameters under their first one. */
  trainable(): ParameterMap {
    const out: ParameterMap = new Map();
    for (const [variable, name] of this.student.parameterNames()) if (this.trains(variable) && (this.chosen?.(name) ?? true)) out.set(name, variable);
    if (!out.size) throw new ConfigError(`[${this.where}] trainable: it leaves no parameter of the student to train.`);
    return out;
  }

  /** Trainable parameters for `AdamW`, as published: embeddings without weight decay, the main network at its own rate. */
  parameterGroups({ mainRate = 1, weightDecay = 0.1 }: StageGroupOptions = {}): ParameterGroup[] {
    const { main, embed } = this.student.parts;
    const [inMain, inEmbed] = [main, embed].map((part) => new Set(part.parameters().values())) as [Set<tf.Variable>, Set<tf.Variable>];
    return groupParameters(this.trainable(), (_, v) => ({ lrMultiplier: inMain.has(v) ? mainRate : 1, weightDecay: inEmbed.has(v) ? 0 : weightDecay }));
  }

  /**
   * Loss and gradients of a batch of `TokenRows`. `parts` holds the weighted losses, which add up to the total, and as numbers
   * `positionsPerChunk0` (positions per patch as used) and, with a boundary predictor, `bytesPerPatch`, `boundaryAccuracy`, `boundaryPrecision`
   * and `boundaryRecall` of its decisions at probability 0.5.
   * @throws DataError for a batch without rows of bytes, or one in other ids than the student's.
   */
  async lossAndGrads(batch: TrainBatch): Promise<LossAndGrads> {
    const rows = this.rowsOf(batch);
    const prepared = await this.prepare(rows);
    const kept: tf.Tensor[] = [];
    const keep = <T extends tf.Tensor>(t: T): T => (kept.push(tf.keep(tf.clone(t))), kept.at(-1) as T);
    try {
      const trained = this.trainable();
      let parts: Record<string, tf.Scalar> = {};
      let prob: tf.Tensor2D | undefined;
      let patches = 0;
      const { value, grads } = tf.variableGrads(() => {
        const pass = this.pass(rows, prepared);
        parts = Object.fromEntries(Object.entries(pass.parts).map(([name, v]) => [name, keep(v)]));
        prob = pass.boundaryProb && keep(pass.boundaryProb);
        patches = sum(pass.segmentation.numChunks);
        pass.segmentation.dispose();
        return Object.values(pass.parts).reduce((a, b) => tf.add(a, b));
      }, [...trained.values()]);
      const numbers = { ...(prob && scoresOf(rows, await prob.data())), positionsPerChunk0: sum(rows.lengths) / Math.max(1, patches) };
      prob?.dispose();
      return { loss: value as tf.Scalar, parts: { ...parts, ...numbers }, grads: new Map([...trained].flatMap(([name, v]) => (grads[v.name] ? [[name, grads[v.name]!] as const] : []))) };
    } catch (e) {
      tf.dispose(kept);
      throw e;
    } finally {
      prepared.dispose();
    }
  }

  protected contextOf(rows: ByteRows): SequenceContext {
    const isFull = rows.lengths.every((n) => n === rows.length);
    return this.student.withDocuments(new SequenceContext(rows.batch, rows.length, { ids: rows.ids, lengths: isFull ? undefined : rows.lengths }));
  }

  /** The tokenizer's boundaries, on a patch axis as wide as the rows' own. */
  protected trueBoundaries(rows: ByteRows): Segmentation {
    return new Segmentation(rows.batch, rows.length, rows.boundaryLabels.slice(), { drawnAt: 'end', padTo: rows.patches });
  }

  /** Segmentations of every stage, decided ahead where the backend cannot read in between. */
  protected async planOf(ctx: SequenceContext, given?: Segmentation): Promise<Segmentation[] | undefined> {
    const { main } = this.student.parts;
    if (given && !main.plan) return [given];
    if (canReadSync()) return given && [given];
    return this.student.plan(given ? ctx.with({ plan: [given] }) : ctx);
  }

  protected labelsOf(rows: ByteRows, boundaryMask: Uint8Array): Int32Array {
    return this.emitsBoundaries ? fusedLabels(rows, boundaryMask) : rows.labels;
  }

  private rowsOf(batch: TrainBatch): ByteRows {
    const { rows } = batch as Partial<ByteRowsBatch>;
    const { student } = this;
    if (!rows) throw new DataError(`[${this.where}] batch: it has no \`rows\` (bytes that know their patches). Hint: take batches of TokenRows.`);
    const [got, expected] = [rows.student.numIds, student.boundaryFrom ?? student.vocabSize];
    if (got !== expected) throw new DataError(`[${this.where}] batch: rows are in ${got} ids, the student has ${expected}. Hint: the option \`student\` of TokenRows says how the student numbers bytes.`);
    return rows;
  }

  // The student itself, for evaluation and generation.
  get vocabSize(): number {
    return this.student.vocabSize;
  }
  get boundaryFrom(): number | undefined {
    return this.student.boundaryFrom;
  }
  get numParameters(): number {
    return this.student.numParameters;
  }
  parameters(prefix?: string): ParameterMap {
    return this.student.parameters(prefix);
  }
  logits(ids: Int32Array, ctx: SequenceContext): MaybePromise<tf.Tensor3D> {
    return this.student.logits(ids, ctx);
  }
  initState(batchSize: number) {
    return this.student.initState(batchSize);
  }
  prefill(ids: Int32Array, state: any, ctx: SequenceContext) {
    return this.student.prefill(ids, state, ctx);
  }
  step(ids: Int32Array, state: any, rows?: readonly number[]) {
    return this.student.step(ids, state, rows);
  }
  startDocument(state: any, rows: readonly number[]) {
    return this.student.startDocument(state, rows);
  }

  /** Frees nothing of the student, which is its maker's. */
  dispose(): void {}
}

/** Log-probabilities as the boundary loss takes them: those below the floor get no gradient. */
export const logOf = (prob: tf.Tensor2D): tf.Tensor2D => tf.log(tf.maximum(prob, tf.fill(prob.shape, LOG_FLOOR)) as tf.Tensor2D);

function scoresOf(rows: ByteRows, prob: ArrayLike<number>): Record<string, number> {
  const predicted = Uint8Array.from(prob, (p) => (p > 0.5 ? 1 : 0));
  const valid = Uint8Array.from(rows.labels, (y) => (y >= 0 ? 1 : 0));
  const { accuracy, precision, recall, count } = boundaryScores(predicted, rows.boundaryLabels, valid);
  const said = predicted.reduce((n, p, i) => n + (p & valid[i]!), 0);
  return { boundaryAccuracy: accuracy, boundaryPrecision: precision, boundaryRecall: recall, bytesPerPatch: count / Math.max(1, said) };
}

const sum = (values: Int32Array): number => values.reduce((a, b) => a + b, 0);
