import {
  after,
  BYTE_VOCABULARIES,
  ConfigError,
  DataError,
  Segmentation,
  type BoundaryDecision,
  type ByteVocabulary,
  type Chunker,
  type ChunkerStepInput,
  type MaybePromise,
  type SequenceContext,
} from '@bytelm/core';
import type * as tf from '@tensorflow/tfjs-core';
import { documentStarts } from './documents.js';

export interface PatcherOptions {
  /** How ids number bytes: `'blt'` (byte + 4, the default), `'hnet'` (the byte) or a vocabulary of one's own. */
  vocabulary?: keyof typeof BYTE_VOCABULARIES | ByteVocabulary | undefined;
  /** A patch of this many ids ends whatever the rule says. Default: no limit. */
  maxChunkLength?: number | null | undefined;
  /**
   * Ids that end a document, as in `SequenceLM`: such an id closes its patch, and the next one is a patch of its own. Give the patcher what
   * the model has. Where `ctx.documentIds` is given, that says where documents begin. Default: none.
   */
  documentEnds?: readonly number[] | undefined;
  /** Round the chunk axis up to a multiple of this, so that few different sizes reach WebGPU. Default 1. */
  padTo?: number | undefined;
}

/** Where each row stands; all (B). Patchers add what their rule needs. */
export interface PatcherState {
  /** Ids read of the row's document; 0: the next id begins one. */
  position: Int32Array;
  /** Ids in the open patch. */
  open: Int32Array;
}

/** Rows that have read nothing. */
export const unread = (batchSize: number): PatcherState => ({ position: new Int32Array(batchSize), open: new Int32Array(batchSize) });

/** What a rule is asked about: one id of one row. Valid during the call only. */
export interface PatcherStep<S> {
  id: number;
  /** Of the document, from 1: the first id of a document always is a patch of its own. */
  position: number;
  row: number;
  state: S;
  /** What `measure` gave for this id. */
  value: number;
}

/**
 * Base of the patchers without weights of their own: a rule on ids that says after each whether its patch ends there. Rows are independent of
 * each other, padding changes nothing, and each packed document is patched on its own: its first id is a patch, its last id closes one.
 *
 * `segment`, `prefill` and `step` run the same rule one id after the other, so they agree by construction.
 */
export abstract class RulePatcher<S extends PatcherState = PatcherState> implements Chunker<S> {
  readonly reads = 'ids';
  readonly lookahead = 0;
  readonly vocabulary: ByteVocabulary;
  readonly maxChunkLength: number | undefined;
  readonly documentEnds: ReadonlySet<number>;
  protected readonly padTo: number;
  /** One object for all questions: a corpus has as many as bytes. */
  private readonly asked: PatcherStep<S> = { id: 0, position: 0, row: 0, state: undefined as never, value: 0 };

  constructor(options: PatcherOptions = {}) {
    const name = this.constructor.name;
    this.vocabulary = resolveVocabulary(name, options.vocabulary);
    this.maxChunkLength = options.maxChunkLength ?? undefined;
    this.documentEnds = new Set(options.documentEnds);
    this.padTo = options.padTo ?? 1;
    if (this.maxChunkLength !== undefined) checkWhole(name, 'maxChunkLength', this.maxChunkLength);
    checkWhole(name, 'padTo', this.padTo);
    for (const id of this.documentEnds) {
      if (!(Number.isInteger(id) && id >= 0 && id < this.vocabulary.vocabSize)) {
        throw new ConfigError(`[${name}] documentEnds: expected ids of 0..${this.vocabulary.vocabSize - 1}, got ${id}. Hint: the ids of \`vocabulary\`.`);
      }
    }
  }

  /** JSON-able: what decides about boundaries besides the ids. Files of patches are stored with it. */
  describe(): Record<string, unknown> {
    return { patcher: this.constructor.name, vocabulary: this.vocabulary, maxChunkLength: this.maxChunkLength ?? null, documentEnds: [...this.documentEnds] };
  }

  /** Does the patch end with this id? */
  protected abstract closes(step: PatcherStep<S>): boolean;
  /** The state of rows that have read nothing. */
  abstract initState(batchSize: number): S;

  /** What the rule needs besides ids, (B*L): whole rows on their own. */
  protected measure(_ctx: SequenceContext, _starts: Uint8Array): MaybePromise<Float32Array | undefined> {
    return undefined;
  }

  /** The same on top of a state. */
  protected measureOn(_state: S, _ctx: SequenceContext, _starts: Uint8Array): MaybePromise<Float32Array | undefined> {
    return undefined;
  }

  /** The same for one id of each of `rows`. */
  protected measureStep(_state: S, _ids: Int32Array, _rows: readonly number[]): MaybePromise<Float32Array | undefined> {
    return undefined;
  }

  segment(_hidden: tf.Tensor3D | undefined, ctx: SequenceContext): MaybePromise<Segmentation> {
    const starts = documentStarts(ctx, this.documentEnds, this.constructor.name);
    return after(this.measure(ctx, starts), (values) => {
      const mask = this.walk(ctx, starts, this.freshRows(ctx.batch), values);
      // A row of length 0 still has a first position on paper; nothing of it is real.
      for (let b = 0; b < ctx.batch && ctx.length > 0; b++) mask[b * ctx.length] = 1;
      return this.segmentation(ctx, mask);
    });
  }

  prefill(_hidden: tf.Tensor3D | undefined, state: S, ctx: SequenceContext): MaybePromise<{ segmentation: Segmentation; values?: Float32Array | undefined; state: S }> {
    const starts = documentStarts(ctx, this.documentEnds, this.constructor.name);
    return after(this.measureOn(state, ctx, starts), (values) => ({ segmentation: this.segmentation(ctx, this.walk(ctx, starts, state, values), true), values, state }));
  }

  step({ ids }: ChunkerStepInput, state: S, rows?: readonly number[]): MaybePromise<{ decision: BoundaryDecision; values?: Float32Array | undefined; state: S }> {
    if (!ids) throw new DataError(`[${this.constructor.name}] step: expected ids, got none. Hint: only the outermost stage of a hierarchy has them.`);
    const taking = rows ?? Array.from(ids, (_, b) => b);
    return after(this.measureStep(state, ids, taking), (values) => {
      const boundary = new Uint8Array(ids.length);
      taking.forEach((row, i) => {
        boundary[i] = this.decide(state, row, ids[i]!, values ? values[i]! : 0) ? 1 : 0;
        if (this.documentEnds.has(ids[i]!)) this.restart(state, row);
      });
      return { decision: { boundary }, values, state };
    });
  }

  startDocument(state: S, rows: readonly number[]): S {
    for (const row of rows) this.restart(state, row);
    return state;
  }

  /** A state whose rule memory is used on the host only, for a pass over whole rows. */
  protected freshRows(batch: number): S {
    return this.initState(batch);
  }

  /** Every real id of a batch in turn. */
  private walk(ctx: SequenceContext, starts: Uint8Array, state: S, values: Float32Array | undefined): Uint8Array {
    const { batch, length } = ctx;
    const ids = ctx.ids!;
    const mask = new Uint8Array(batch * length);
    for (let b = 0; b < batch; b++) {
      const end = b * length + (ctx.lengths?.[b] ?? length);
      for (let i = b * length; i < end; i++) {
        if (starts[i]) this.restart(state, b);
        mask[i] = this.decide(state, b, ids[i]!, values ? values[i]! : 0) ? 1 : 0;
        if (i + 1 < end && starts[i + 1]) mask[i] = 1;
      }
      if (end > b * length && this.documentEnds.has(ids[end - 1]!)) this.restart(state, b);
    }
    return mask;
  }

  private decide(state: S, row: number, id: number, value: number): boolean {
    const position = state.position[row]++;
    const open = ++state.open[row];
    const { asked } = this;
    asked.id = id;
    asked.position = position;
    asked.row = row;
    asked.state = state;
    asked.value = value;
    // The rule is asked even where it cannot change the outcome: it may remember.
    let boundary = true;
    if (position === 0) this.first(asked);
    else boundary = this.closes(asked) || open === this.maxChunkLength || this.documentEnds.has(id);
    if (boundary) state.open[row] = 0;
    return boundary;
  }

  /** The first id of a document: nothing to decide, but there may be something to remember. */
  protected first(_step: PatcherStep<S>): void {}

  private restart(state: S, row: number): void {
    state.position[row] = 0;
    state.open[row] = 0;
  }

  private segmentation(ctx: SequenceContext, mask: Uint8Array, continues = false): Segmentation {
    return new Segmentation(ctx.batch, ctx.length, mask, { drawnAt: 'end', padTo: this.padTo, continues });
  }
}

export function resolveVocabulary(where: string, vocabulary: PatcherOptions['vocabulary'] = 'blt'): ByteVocabulary {
  const found = typeof vocabulary === 'string' ? BYTE_VOCABULARIES[vocabulary] : vocabulary;
  if (!found) throw new ConfigError(`[${where}] unknown vocabulary '${String(vocabulary)}'. Hint: one of ${Object.keys(BYTE_VOCABULARIES).join(', ')}.`);
  return found;
}

export function checkWhole(where: string, name: string, value: number): void {
  if (!(Number.isInteger(value) && value >= 1)) throw new ConfigError(`[${where}] ${name}: expected a whole number from 1, got ${value}.`);
}

/** The byte of an id, −1 for special ids. */
export function byteOf(id: number, { offset, bos, eos }: ByteVocabulary): number {
  return id < offset || id - offset > 255 || id === bos || id === eos ? -1 : id - offset;
}
