import * as tf from '@tensorflow/tfjs-core';
import { ConfigError, gatherRows, isLayered, type HierarchicalLM, type LayeredModel, type Segmentation } from '@bytelm/core';
import { patchEnds, patchesAtBoundaries, type ByteRows, type StudentVocabulary } from '../alignment/byte-rows.js';
import type { SubwordVocabulary } from '../alignment/vocabulary.js';
import { logMass, logMassAfterPatches, tokenLogLikelihoods } from '../likelihood/patch-likelihood.js';
import { PUBLISHED_STAGE1, stageLosses, type StageLossInputs } from '../losses/stage-loss.js';
import { logOf, Stage, type Prepared, type StageOptions, type StagePass } from './stage.js';
import type { Teacher, TeacherOutputs } from './teacher.js';
import { TeacherReader, tokenShape } from './teacher-distributions.js';

export interface Stage1Options extends StageOptions {
  /** The teacher's. */
  vocabulary: SubwordVocabulary;
  /** Blocks of the main network that pooled patches and the teacher's embeddings are compared behind. Default 4, or all where there are fewer. */
  encoderBlocks?: number | undefined;
  /**
   * The decoder reads the teacher's hidden states in place of the main network's outputs, which is not run then (default). false: the student's
   * own main network runs and is trained with the rest, for students whose main network is not the teacher's.
   */
  oracle?: boolean | undefined;
}

/** The teacher's side of a batch. */
interface TeacherSide extends Prepared {
  plan: Segmentation[];
  /** (B, P, D) by boundary. */
  oracle?: tf.Tensor3D | undefined;
  encoder?: tf.Tensor3D | undefined;
  logProb?: tf.Tensor2D | undefined;
  space?: tf.Tensor2D | undefined;
  bytes?: { targets: tf.Tensor; mask: tf.Tensor } | undefined;
}

const DEFAULT_BLOCKS = 4;
const SPACES = [32, 9, 10];

/**
 * Stage 1, a student learns from the model it is made of: where tokens end (`boundary`), to make patches that do in the first blocks of the
 * main network what the subword embeddings did (`encoder`), and, reading the teacher's hidden states, to say about bytes and boundaries what
 * the teacher says about tokens (`distill`, `crossEntropy`). The main network is frozen; nothing is sent through all of it.
 *
 * Boundaries are those of the tokenizer. The teacher runs once a batch, without gradient and no deeper than a loss needs.
 *
 * A BLT or H-Net can be the student with `bytesOnly`, and with weights 0 for what it has no part for: without a learned chunker `boundary`,
 * with another width than the teacher's `encoder` (and `oracle: false`).
 *
 * @source Bolmo, arXiv 2512.15586, section 3.2.
 * @example
 * const stage = new Stage1(bolmo, teacherOf(olmo), { vocabulary });
 * const optimizer = new AdamW(stage.parameterGroups());
 * for await (const e of trainLoop({ model: stage, batches, optimizer, schedule, steps })) …
 */
export class Stage1 extends Stage<TeacherSide> {
  readonly encoderBlocks: number;
  readonly oracle: boolean;
  private readonly frozen: ReadonlySet<tf.Variable>;
  private readonly vocabulary: SubwordVocabulary;
  private readonly mainBlocks: LayeredModel | undefined;
  private readonly reader: TeacherReader;

  /** @throws ConfigError when student, teacher and vocabulary do not fit; it names what differs. */
  constructor(
    student: HierarchicalLM,
    readonly teacher: Teacher,
    { vocabulary, losses = PUBLISHED_STAGE1, encoderBlocks, oracle = true, ...options }: Stage1Options,
  ) {
    super(student, losses, options);
    const { main } = student.parts;
    vocabulary.checkFits(teacher.vocabSize, teacher.name);
    this.vocabulary = vocabulary;
    this.reader = new TeacherReader(teacher, vocabulary, student.vocabSize);
    this.oracle = oracle;
    this.mainBlocks = isLayered(main) ? main : undefined;
    // What makes patches as wide as the blocks (BLT) is no part of the source model.
    const own = new Set(this.mainBlocks?.inputProjection?.parameters().values());
    this.frozen = new Set(oracle ? [...main.parameters().values()].filter((v) => !own.has(v)) : []);
    const most = Math.min(this.mainBlocks?.numBlocks ?? 0, teacher.numBlocks);
    this.encoderBlocks = encoderBlocks ?? Math.min(DEFAULT_BLOCKS, most);
    const problems = widthProblems(student, teacher, oracle, losses.weights.encoder > 0);
    if (losses.weights.encoder && !this.mainBlocks) problems.push(`main network ${main.constructor.name} is not made of blocks that pooled patches could be run through; give the encoder loss weight 0`);
    else if (losses.weights.encoder && !(Number.isInteger(this.encoderBlocks) && this.encoderBlocks >= 0 && this.encoderBlocks <= most)) problems.push(`encoderBlocks: expected a whole number from 0 to ${most}, got ${this.encoderBlocks}`);
    if (problems.length) throw new ConfigError(`[Stage1] ${problems.join('; ')}.`);
  }

  protected trains(variable: tf.Variable): boolean {
    return !this.frozen.has(variable);
  }

  protected async prepare(rows: ByteRows): Promise<TeacherSide> {
    const { weights, debias } = this.losses;
    const ctx = this.contextOf(rows);
    const seg = this.trueBoundaries(rows);
    const { probs, ...side } = tf.tidy(() => {
      const { batch, patches } = rows;
      const ids = tf.tensor2d(rows.teacherIds, [batch, patches], 'int32');
      const want = { hidden: this.oracle, logits: Boolean(weights.distill || weights.byteDistill), blocks: weights.encoder ? this.encoderBlocks : undefined };
      const said: TeacherOutputs = want.hidden || want.logits || want.blocks !== undefined ? this.teacher.read(rows.teacherIds, tokenShape(rows), want) : {};
      const at = tf.tensor2d(patchesAtBoundaries(rows), [batch, patches], 'int32');
      return {
        oracle: said.hidden && gatherRows(said.hidden, at),
        encoder: said.blocks && gatherRows(said.blocks, at),
        logProb: said.logits && weights.distill ? tokenLogLikelihoods(said.logits, ids) : undefined,
        probs: weights.byteDistill ? tf.softmax(said.logits!) : undefined,
        space: said.logits && weights.distill && debias ? (logMass(said.logits, this.spaceTokens()) as tf.Tensor2D) : undefined,
      };
    });
    const plan = this.oracle ? [seg] : ((await this.planOf(ctx, seg)) ?? [seg]);
    const said = probs && (await this.reader.ofProbs(rows, probs));
    const bytes = said && { targets: said.targets, mask: tf.tensor2d(said.mask, [rows.batch, rows.length]) };
    return {
      ...side,
      bytes,
      ctx,
      plan,
      dispose: () => {
        tf.dispose([...Object.values(side), ...Object.values(bytes ?? {})].filter((t) => t !== undefined));
        plan.forEach((s) => s.dispose());
        ctx.dispose();
      },
    };
  }

  protected pass(rows: ByteRows, side: TeacherSide): StagePass {
    const { embed, encoder, chunker, downsample, main, upsample, decoder, head } = this.student.parts;
    const { weights, debias } = this.losses;
    const ctx = side.ctx.with({ plan: side.plan });
    const seg = side.plan[0]!;
    const inner = seg.innerContext(ctx);
    const e = encoder.forward(embed.forward(tf.tensor2d(rows.ids, [rows.batch, rows.length], 'int32'), ctx), ctx);
    const boundaryProb = chunker.boundaryProb?.(e, ctx);
    const pooled = weights.encoder || !this.oracle ? downsample.forward(e, seg, ctx) : undefined;
    const inputs: StageLossInputs = { rows, bytes: side.bytes, labels: this.labelsOf(rows, rows.boundaryLabels) };
    if (boundaryProb) inputs.boundaryLogProb = logOf(boundaryProb);
    if (weights.encoder) inputs.encoder = { student: this.mainBlocks!.streams(pooled!, inner, [this.encoderBlocks])[0]!, teacher: side.encoder! };
    if (weights.distill || weights.crossEntropy || weights.byteDistill) {
      const chunks = side.oracle ?? main.forward(pooled!, inner);
      const u = upsample.forward(chunks, e, seg, ctx, boundaryProb);
      const logits = head.forward(decoder.forward(u, ctx.with({ memory: { chunks, segmentation: seg } }))) as tf.Tensor3D;
      inputs.logits = logits;
      if (side.logProb) inputs.teacherLogProb = side.logProb;
      if (debias && side.space) inputs.space = { teacher: side.space, student: this.spaceAfterPatches(rows, logits) };
    }
    inner.dispose();
    return { parts: stageLosses(inputs, this.losses), boundaryProb, segmentation: seg };
  }

  /** (V) 1 for tokens that begin with white space. */
  private spaceTokens(): tf.Tensor1D {
    const { vocabulary, teacher } = this;
    return tf.tensor1d(Float32Array.from({ length: teacher.vocabSize }, (_, id) => (vocabulary.has(id) && SPACES.includes(vocabulary.symbolsOf(id)[0]!) ? 1 : 0)));
  }

  private spaceAfterPatches(rows: ByteRows, logits: tf.Tensor3D): tf.Tensor2D {
    const { offset }: StudentVocabulary = rows.student;
    const set = new Float32Array(logits.shape[2]);
    for (const byte of SPACES) set[byte + offset] = 1;
    return logMassAfterPatches(logits, { set: tf.tensor1d(set), ends: tf.tensor2d(patchEnds(rows), [rows.batch, rows.patches], 'int32') });
  }
}

/** The teacher's states stand beside those of the main network, and in their place: widths must be equal. */
function widthProblems({ parts: { main } }: HierarchicalLM, { name, dModel }: Teacher, oracle: boolean, comparesPatches: boolean): string[] {
  const own = main.dOut ?? main.dModel;
  if (own === dModel || !(oracle || comparesPatches)) return [];
  return [`the main network has width ${own}, the hidden states of ${name} ${dModel}: give the encoder loss weight 0 and \`oracle\` false, which need them equal`];
}
