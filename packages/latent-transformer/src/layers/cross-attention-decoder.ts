import * as tf from '@tensorflow/tfjs-core';
import { after, ConfigError, Linear, Module, type MaybePromise, type OnDevice, type Rng, type SequenceContext, type SequenceModel } from '@bytelm/core';

export interface CrossAttentionDecoderConfig {
  /** Width of the main network's outputs. */
  dMemory: number;
  /** Slots that each of them becomes, k. */
  slotsPerChunk: number;
  /** Standard deviation of the initial projection. Default dMemory^-½. */
  initStd?: number | undefined;
  /** The initial normal is cut at so many standard deviations. Default 3, as published. */
  initCut?: number;
  /** Name of the projection. Default 'patch_embedding_projection'. */
  projectionName?: string;
}

/**
 * BLT's local decoder around its layers: projects each output of the main network to k slots of the decoder's width, once for all layers, and hands
 * them to those that attend to chunks (`CrossAttentionBlock`). Everything else is the inner model's.
 *
 * Keys: `patch_embedding_projection.weight` (k·D, dMemory), and those of the inner model, unprefixed.
 * @source arXiv 2412.09871, section 3.3; facebookresearch/blt (`local_models.py`).
 */
export class CrossAttentionDecoder<S = any> extends Module implements SequenceModel<S> {
  readonly dModel: number;
  readonly dMemory: number;
  readonly config: Readonly<CrossAttentionDecoderConfig>;
  readonly projection: Linear;
  readonly inner: SequenceModel<S>;
  /** Both where the inner model has it. */
  readonly onDevice: OnDevice<tf.Tensor2D, tf.Tensor2D, S> | undefined;
  readonly rollback?: (state: S, rows: readonly number[], steps: readonly number[]) => S;

  /**
   * @param inner A stack with blocks that `remember`.
   * @throws ConfigError
   */
  constructor(inner: SequenceModel<S>, config: CrossAttentionDecoderConfig, rng?: Rng) {
    super();
    const { dMemory, slotsPerChunk, initStd = dMemory ** -0.5, initCut = 3, projectionName = 'patch_embedding_projection' } = config;
    if (!inner.remember) throw new ConfigError('[CrossAttentionDecoder] no layer of the inner model attends to chunks. Hint: a ResidualStack with CrossAttentionBlocks.');
    if (!(slotsPerChunk > 0 && dMemory > 0)) throw new ConfigError(`[CrossAttentionDecoder] expected positive sizes, got slotsPerChunk ${slotsPerChunk}, dMemory ${dMemory}.`);
    this.dModel = inner.dModel;
    this.dMemory = dMemory;
    this.config = config;
    this.projection = this.addModule(projectionName, new Linear({ inFeatures: dMemory, outFeatures: slotsPerChunk * inner.dModel, bias: false, initStd, initCut }, rng?.fork(projectionName)));
    this.inner = this.addModule('', inner);
    const { onDevice } = inner;
    this.onDevice = onDevice && { ...onDevice, remember: (chunks, state, rows) => onDevice.remember?.(this.projection.forward(chunks), state, rows) };
    if (inner.rollback) this.rollback = (state, rows, steps) => inner.rollback!(state, rows, steps);
  }

  forward(x: tf.Tensor3D, ctx: SequenceContext): tf.Tensor3D {
    return tf.tidy(() => this.inner.forward(x, this.withSlots(ctx)));
  }

  initState(batchSize: number): S {
    return this.inner.initState(batchSize);
  }

  prefill(x: tf.Tensor3D, state: S, ctx: SequenceContext): MaybePromise<{ y: tf.Tensor3D; state: S }> {
    const inner = this.withSlots(ctx);
    return after(this.inner.prefill(x, state, inner), (out) => {
      inner.memory?.chunks.dispose();
      return out;
    });
  }

  step(x: tf.Tensor2D, state: S, rows?: readonly number[]): MaybePromise<{ y: tf.Tensor2D; state: S }> {
    return this.inner.step(x, state, rows);
  }

  startDocument(state: S, rows: readonly number[]): S {
    return this.inner.startDocument(state, rows);
  }

  remember(chunks: tf.Tensor2D, state: S, rows: readonly number[]): S {
    const slots = this.projection.forward(chunks);
    const next = this.inner.remember!(slots, state, rows);
    slots.dispose();
    return next;
  }

  /** The context with slots side by side, (B, M, k·D), in place of the main network's outputs. */
  private withSlots(ctx: SequenceContext): SequenceContext {
    const { memory } = ctx;
    return memory ? ctx.with({ memory: { chunks: this.projection.forward(memory.chunks), segmentation: memory.segmentation } }) : ctx;
  }
}
