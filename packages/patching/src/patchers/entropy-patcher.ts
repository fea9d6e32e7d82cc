import { after, ConfigError, SequenceContext, type ByteLM, type ByteVocabulary, type DeviceDecision, type MaybePromise, type OnDevice } from '@bytelm/core';
import type * as tf from '@tensorflow/tfjs-core';
import { entropies, forgetRows, readPiece, readRows, readStep } from '../entropy/entropies.js';
import { opensNext, prepareRule, type EntropyRule, type PreparedRule } from '../entropy/entropy-rule.js';
import { contextIds, documentStarts } from './documents.js';
import { entropiesOnDevice } from './entropy-on-device.js';
import { checkWhole, resolveVocabulary, RulePatcher, unread, type PatcherOptions, type PatcherState, type PatcherStep } from './patcher.js';
import { isSameVocabulary, translateIds } from './translate-ids.js';

export interface EntropyPatcherOptions extends PatcherOptions, EntropyRule {
  /** The byte language model whose uncertainty opens patches. It stays as it is: its weights are no parameters of the patcher. */
  model: ByteLM;
  /** How the model numbers bytes, where that is not how `ids` do. Default: `vocabulary`. */
  modelVocabulary?: PatcherOptions['vocabulary'];
  /** The model forgets at every newline: long texts that repeat themselves do not become ever more certain. Default false. */
  resetOnNewline?: boolean | undefined;
  /** `segment` reads rows in pieces of this many ids and gives a promise then. Default: whole rows at once. */
  pieceLength?: number | undefined;
}

export interface EntropyPatcherState extends PatcherState {
  /** (B) nats, at the last id. */
  previousEntropy: Float32Array;
  /** (B) 1 where the model must forget before the next id. */
  stale: Uint8Array;
  /** Of the entropy model. */
  model: unknown;
}

/**
 * Patches begin where the next byte is hard to guess: BLT's patcher. The entropy at i decides about the id behind it; the first one of a
 * document is not looked at, its first id is always a patch of its own.
 *
 * Boundaries near θ depend on the precision of the entropies: here float32 logits.
 *
 * @throws ConfigError for thresholds out of range, or a model that cannot do what is asked.
 * @source BLT, arXiv 2412.09871, section 2.3; newline reset and monotonic rule: section 4.4.
 * @example
 * const patcher = new EntropyPatcher({ model: entropyModel, threshold: 1.335442066192627 });
 * const seg = await patcher.segment(undefined, new SequenceContext(1, ids.length, { ids }));
 */
export class EntropyPatcher extends RulePatcher<EntropyPatcherState> {
  readonly model: ByteLM;
  readonly rule: Readonly<EntropyRule>;
  readonly resetOnNewline: boolean;
  readonly modelVocabulary: ByteVocabulary;
  /** Where the model has it, and numbers bytes as the ids do. */
  readonly onDevice: OnDevice<tf.Tensor2D, DeviceDecision, EntropyPatcherState> | undefined;
  private readonly prepared: PreparedRule;
  private readonly pieceLength: number | undefined;
  /** The id the model forgets behind. */
  private readonly newline: number | undefined;

  constructor(options: EntropyPatcherOptions) {
    super(options);
    const { model, threshold, monotonic, addThreshold, resetOnNewline = false, pieceLength } = options;
    this.model = model;
    this.modelVocabulary = options.modelVocabulary === undefined ? this.vocabulary : resolveVocabulary('EntropyPatcher', options.modelVocabulary);
    if (model.vocabSize < this.modelVocabulary.vocabSize) {
      throw new ConfigError(`[EntropyPatcher] model: expected a vocabulary of at least ${this.modelVocabulary.vocabSize} ids, got ${model.vocabSize}. Hint: \`modelVocabulary\` says how the model numbers bytes.`);
    }
    if ((resetOnNewline || this.documentEnds.size) && !model.startDocument) {
      throw new ConfigError('[EntropyPatcher] model: expected one with `startDocument`, for `resetOnNewline` and `documentEnds`. Hint: SequenceLM has it.');
    }
    this.rule = { threshold, monotonic, addThreshold };
    this.prepared = prepareRule('EntropyPatcher', this.rule, model.vocabSize);
    this.resetOnNewline = resetOnNewline;
    this.newline = resetOnNewline ? 0x0a + this.vocabulary.offset : undefined;
    if (pieceLength !== undefined) checkWhole('EntropyPatcher', 'pieceLength', pieceLength);
    this.pieceLength = pieceLength;
    const { prepared: rule, maxChunkLength, documentEnds, newline } = this;
    if (isSameVocabulary(this.vocabulary, this.modelVocabulary)) this.onDevice = entropiesOnDevice({ model, rule, maxChunkLength, documentEnds, newline });
  }

  initState(batchSize: number): EntropyPatcherState {
    return { ...this.freshRows(batchSize), model: this.model.initState(batchSize) };
  }

  protected override freshRows(batchSize: number): EntropyPatcherState {
    return {
      ...unread(batchSize),
      previousEntropy: new Float32Array(batchSize),
      stale: new Uint8Array(batchSize),
      model: undefined,
    };
  }

  /** The model's weights are not in it. */
  override describe(): Record<string, unknown> {
    const { threshold, monotonic = false, addThreshold = null } = this.rule;
    return { ...super.describe(), threshold, monotonic, addThreshold, resetOnNewline: this.resetOnNewline };
  }

  /** (B*L) nats, as `segment` sees them: documents and newlines cut the context. */
  entropies(ctx: SequenceContext): MaybePromise<Float32Array> {
    return this.measure(ctx, documentStarts(ctx, this.documentEnds, 'EntropyPatcher'));
  }

  override startDocument(state: EntropyPatcherState, rows: readonly number[]): EntropyPatcherState {
    for (const row of rows) state.stale[row] = 1;
    return super.startDocument(state, rows);
  }

  protected override measure(ctx: SequenceContext, starts: Uint8Array): MaybePromise<Float32Array> {
    const own = this.modelContext(ctx, starts);
    const long = this.pieceLength !== undefined && ctx.length > this.pieceLength;
    return after(long ? entropies(this.model, own.ids!, own, { pieceLength: this.pieceLength }) : readRows(this.model, own), (values) => {
      own.dispose();
      return values;
    });
  }

  protected override measureOn(state: EntropyPatcherState, ctx: SequenceContext, starts: Uint8Array): MaybePromise<Float32Array> {
    const own = this.modelContext(ctx, starts);
    const going = Array.from({ length: ctx.batch }, (_, b) => b).filter((b) => ctx.isReal(b, 0));
    this.forgetStale(state, going);
    return after(readPiece(this.model, own, state.model), (read) => {
      own.dispose();
      state.model = read.state;
      for (const b of going) this.noteReset(state, b, ctx.ids![b * ctx.length + (ctx.lengths?.[b] ?? ctx.length) - 1]!);
      return read.values;
    });
  }

  protected override measureStep(state: EntropyPatcherState, ids: Int32Array, rows: readonly number[]): MaybePromise<Float32Array> {
    this.forgetStale(state, rows);
    const everyRow = rows.length === state.position.length;
    return after(readStep(this.model, this.toModel(ids), state.model, everyRow ? undefined : rows), (read) => {
      state.model = read.state;
      rows.forEach((row, i) => this.noteReset(state, row, ids[i]!));
      return read.values;
    });
  }

  protected closes({ position, row, state, value }: PatcherStep<EntropyPatcherState>): boolean {
    const closes = opensNext(this.prepared, position, value, state.previousEntropy[row]!);
    state.previousEntropy[row] = value;
    return closes;
  }

  private forgetStale(state: EntropyPatcherState, rows: readonly number[]): void {
    const stale = rows.filter((row) => state.stale[row]);
    state.model = forgetRows(this.model, state.model, stale);
    for (const row of stale) state.stale[row] = 0;
  }

  private noteReset(state: EntropyPatcherState, row: number, last: number): void {
    state.stale[row] = last === this.newline || this.documentEnds.has(last) ? 1 : 0;
  }

  private modelContext(ctx: SequenceContext, starts: Uint8Array): SequenceContext {
    return new SequenceContext(ctx.batch, ctx.length, { ids: this.toModel(ctx.ids!), lengths: ctx.lengths, documentIds: contextIds(ctx, starts, this.newline) });
  }

  private toModel(ids: Int32Array): Int32Array {
    return translateIds(ids, this.vocabulary, this.modelVocabulary);
  }
}
