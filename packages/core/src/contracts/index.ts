import type * as tf from '@tensorflow/tfjs-core';
import type { HasParameters } from '../module/module.js';
import type { DeviceDecision, DeviceUpsamplerInput, OnDevice } from './on-device.js';
import type { Segmentation } from './segmentation.js';
import type { SequenceContext } from './sequence-context.js';

export { joinOnDevice, withoutState, type DeviceDecision, type DeviceRows, type DeviceUpsamplerInput, type OnDevice } from './on-device.js';
export type { AddedPair, ResidualBlock, ResidualPair } from './residual-block.js';
export { Segmentation } from './segmentation.js';
export { SequenceContext, type ChunkMemory, type SequenceContextOptions, type StageRecord } from './sequence-context.js';

/** Synchronous where sizes are known, a promise where something must be read back from the device. */
export type MaybePromise<T> = T | Promise<T>;

/**
 * Anything (B, L, D) → (B, L, D): Mamba-2, mLSTM, transformer, a stack of those, or a whole nested hierarchy.
 *
 * **States are owned and passed on**: `prefill` and `step` consume the state they get (it may be updated in place) and return the one to
 * use next. Take a snapshot with `cloneState`, free with `disposeState`. Returned tensors belong to the caller.
 */
export interface SequenceModel<S = any> extends HasParameters {
  /** Width of the input, and of the output unless `dOut` says otherwise. */
  readonly dModel: number;
  /** Width of the output where it differs, e.g. an encoder that shows all its layers side by side. */
  readonly dOut?: number | undefined;
  /** Decoders whose layers attend to the main network's outputs: the width of those. */
  readonly dMemory?: number | undefined;
  /**
   * Models with data-dependent sizes: decides every stage's segmentation without gradient, outermost first. What `ctx.plan` already holds is
   * kept: only the stages further in are decided then.
   */
  plan?(x: tf.Tensor3D, ctx: SequenceContext): Promise<Segmentation[]>;
  /** Synchronous and differentiable. Models with `plan` need `ctx.plan` on backends without synchronous reads. */
  forward(x: tf.Tensor3D, ctx: SequenceContext): tf.Tensor3D;
  initState(batchSize: number): S;
  /** Any number of positions on top of a state; rows may have different `ctx.lengths`. */
  prefill(x: tf.Tensor3D, state: S, ctx: SequenceContext): MaybePromise<{ y: tf.Tensor3D; state: S }>;
  /**
   * One position: `prefill` of length one, made fast.
   * @param x (R, D), one row for each entry of `rows`.
   * @param rows The rows of the state that take part, ascending; the others stay as they are. Default: all, R = B.
   * @param ids (R) byte ids, for hierarchies whose chunker reads them.
   */
  step(x: tf.Tensor2D, state: S, rows?: readonly number[], ids?: Int32Array): MaybePromise<{ y: tf.Tensor2D; state: S }>;
  /** The next position of these rows begins a new document: nothing from before it is seen any more. Consumes the state like `step`. */
  startDocument(state: S, rows: readonly number[]): S;
  /**
   * Models whose states keep positions apart (key/value caches): takes back the last `steps[i]` positions of `rows[i]`, e.g. refused drafts.
   * Recurrent models have none: take snapshots with `cloneState`. Not to before `startDocument`; what `remember` gave stays. Consumes the
   * state like `step`.
   */
  rollback?(state: S, rows: readonly number[], steps: readonly number[]): S;
  /**
   * Decoders whose layers attend to the main network's outputs: takes what `rows` may see from the coming position on. In `forward` and
   * `prefill` the same comes as `ctx.memory`.
   * @param chunks (F, Dg), one for each entry of `rows`.
   */
  remember?(chunks: tf.Tensor2D, state: S, rows: readonly number[]): S;
  /** Models whose steps can be recorded: (B, D) → (B, D). */
  readonly onDevice?: OnDevice<tf.Tensor2D, tf.Tensor2D, S> | undefined;
}

/** Decides where chunks begin. */
export interface Chunker<S = any> extends Partial<HasParameters> {
  /** Runs on the byte ids (`ctx.ids`), or on the local encoder's output. */
  readonly reads: 'ids' | 'hidden';
  /** Bytes after position i that the decision at i may look at (Bolmo's prefill: 1, all others: 0). */
  readonly lookahead: number;
  /** Only chunkers that read `hidden`: their width. */
  readonly dModel?: number;
  /**
   * Without gradient. A promise where the backend must be read asynchronously.
   * @param prob What `boundaryProb` gave for the same input, to spare computing it again.
   */
  segment(hidden: tf.Tensor3D | undefined, ctx: SequenceContext, prob?: tf.Tensor2D): MaybePromise<Segmentation>;
  /** Learned chunkers: (B, L) probabilities, synchronous and differentiable. */
  boundaryProb?(hidden: tf.Tensor3D, ctx: SequenceContext): tf.Tensor2D;
  initState(batchSize: number): S;
  /** A piece on top of a state: its segmentation (byte 0 need not be a boundary when the state has seen bytes) and probabilities. */
  prefill(
    hidden: tf.Tensor3D | undefined,
    state: S,
    ctx: SequenceContext,
  ): MaybePromise<{ segmentation: Segmentation; boundaryProb?: tf.Tensor2D | undefined; state: S }>;
  /** One byte per row. The decisions equal those of `segment` on the whole sequence (when `lookahead` is 0). */
  step(input: ChunkerStepInput, state: S, rows?: readonly number[]): MaybePromise<{ decision: BoundaryDecision; state: S }>;
  /** As in `SequenceModel`: the next position of these rows is a document's first and so a boundary. Chunkers that read ids see document ends themselves. */
  startDocument?(state: S, rows: readonly number[]): S;
  /** Chunkers whose steps can be recorded; those that read `hidden` get (B, D). */
  readonly onDevice?: OnDevice<tf.Tensor2D, DeviceDecision, S> | undefined;
}

export interface ChunkerStepInput {
  /** (R, D), for chunkers that read hidden. */
  hidden?: tf.Tensor2D | undefined;
  /** One id a row, for chunkers that read ids. */
  ids?: Int32Array | undefined;
  /** (R) 1 where the id itself says that a chunk ends here (`ByteHead.boundaryFrom`), for chunkers that cannot decide without what follows. */
  emitted?: Uint8Array | undefined;
}

/** What a chunker decided for the rows of one step. */
export interface BoundaryDecision {
  /** (R) 1 where the main network takes a step now. */
  boundary: Uint8Array;
  /** (R) probabilities on the host, from learned chunkers. */
  prob?: Float32Array | undefined;
}

/** Bytes → chunks. */
export interface Downsampler<S = any> extends Partial<HasParameters> {
  /** Width of the encoder's outputs it takes. Default: any. */
  readonly dEncoded?: number | undefined;
  /** Width of its chunks, where that is not the encoder's. */
  readonly dOut?: number | undefined;
  /** (B, L, D) → (B, M, Dg). */
  forward(encoded: tf.Tensor3D, seg: Segmentation, ctx: SequenceContext): tf.Tensor3D;
  initState(batchSize: number): S;
  prefill(encoded: tf.Tensor3D, seg: Segmentation, state: S, ctx: SequenceContext): { chunks: tf.Tensor3D; state: S };
  /** (R, D) → the chunks of the rows that fired, (F, Dg), in the order of rows; `undefined` when none did. */
  step(encoded: tf.Tensor2D, decision: BoundaryDecision, state: S, rows?: readonly number[]): { chunks?: tf.Tensor2D | undefined; state: S };
  /** As in `SequenceModel`. */
  startDocument?(state: S, rows: readonly number[]): S;
  /** Where its steps can be recorded: (B, D) → (B, Dg), a chunk of every row, whether it fired or not. */
  readonly onDevice?: OnDevice<{ encoded: tf.Tensor2D; decision: DeviceDecision }, tf.Tensor2D, S> | undefined;
}

/** Chunks → bytes. */
export interface Upsampler<S = any> extends Partial<HasParameters> {
  /** Widths of the main network's and the encoder's outputs it takes. Default: any. */
  readonly dMain?: number | undefined;
  readonly dEncoded?: number | undefined;
  /** Width of what it gives, the decoder's. */
  readonly dModel?: number | undefined;
  /**
   * (B, M, Dg) main outputs and (B, L, D) encoder outputs → (B, L, D) decoder inputs.
   * @param boundaryProb (B, L), differentiable; absent for chunkers that are not learned (treat as certain: 1 at boundaries).
   */
  forward(main: tf.Tensor3D, encoded: tf.Tensor3D, seg: Segmentation, ctx: SequenceContext, boundaryProb?: tf.Tensor2D): tf.Tensor3D;
  initState(batchSize: number): S;
  prefill(
    main: tf.Tensor3D,
    encoded: tf.Tensor3D,
    seg: Segmentation,
    state: S,
    ctx: SequenceContext,
    boundaryProb?: tf.Tensor2D,
  ): { y: tf.Tensor3D; state: S };
  /** @param main (F, Dg) outputs of the rows that fired, in order; `undefined` when none did. */
  step(
    main: tf.Tensor2D | undefined,
    encoded: tf.Tensor2D,
    decision: BoundaryDecision,
    state: S,
    rows?: readonly number[],
  ): { y: tf.Tensor2D; state: S };
  /** As in `SequenceModel`. */
  startDocument?(state: S, rows: readonly number[]): S;
  /** Where its steps can be recorded; of `main` (B, Dg) only the rows with a boundary count. */
  readonly onDevice?: OnDevice<DeviceUpsamplerInput, tf.Tensor2D, S> | undefined;
}

/** Byte ids → vectors: plain table, hash n-grams (BLT), longest subword suffix (Bolmo). */
export interface ByteEmbedder<S = any> extends HasParameters {
  readonly dModel: number;
  /** @param ids (B, L) int32. */
  forward(ids: tf.Tensor2D, ctx: SequenceContext): tf.Tensor3D;
  initState(batchSize: number): S;
  prefill(ids: tf.Tensor2D, state: S, ctx: SequenceContext): { y: tf.Tensor3D; state: S };
  step(ids: Int32Array, state: S, rows?: readonly number[]): { y: tf.Tensor2D; state: S };
  /** Where its steps can be recorded: ids (B) int32 → (B, D). */
  readonly onDevice?: OnDevice<tf.Tensor1D, tf.Tensor2D, S> | undefined;
}

/** Vectors → logits. */
export interface ByteHead extends HasParameters {
  readonly vocabSize: number;
  /** Heads that emit boundaries with their bytes (Bolmo): an id from this one on means `id − boundaryFrom`, and that a chunk ends behind it. */
  readonly boundaryFrom?: number | undefined;
  /** (..., D) → (..., V). */
  forward(x: tf.Tensor): tf.Tensor;
}

/** What generation, evaluation, entropy patchers and distillation need of a model. */
export interface ByteLM<S = any> extends HasParameters {
  readonly vocabSize: number;
  /** Of the head: the likelihood of a byte is then that of both its ids. */
  readonly boundaryFrom?: number | undefined;
  /** (B*L) host ids → (B, L, V) logits, without gradient. */
  logits(ids: Int32Array, ctx: SequenceContext): MaybePromise<tf.Tensor3D>;
  initState(batchSize: number): S;
  /** Logits of every position, (B, L, V), on top of a state; segmentations go to `ctx.record`. */
  prefill(ids: Int32Array, state: S, ctx: SequenceContext): MaybePromise<{ logits: tf.Tensor3D; state: S }>;
  /** One id a row → (R, V). */
  step(ids: Int32Array, state: S, rows?: readonly number[]): MaybePromise<{ logits: tf.Tensor2D; state: S; fired: Int8Array[] }>;
  /** As in `SequenceModel`. Entropy patchers need it for documents and newlines that cut the context. */
  startDocument?(state: S, rows: readonly number[]): S;
  /** Models whose steps can be recorded: ids (B) int32 → (B, V). `generate` then reads back the sampled ids alone. */
  readonly onDevice?: OnDevice<tf.Tensor1D, tf.Tensor2D, S> | undefined;
}
