import * as tf from '@tensorflow/tfjs-core';
import { checkShape, ConfigError, Linear, Module, splitLast, type Rng, type SequenceContext } from '@bytelm/core';
import { KvCache, type KvCacheState } from '../kv-cache.js';
import { attention } from '../ops/attention.js';
import { decodeAttention } from '../ops/decode-attention.js';
import { RotaryEmbedding, type RotaryScaling } from '../rotary-embedding.js';
import { layOut } from './continuation.js';

export interface SelfAttentionConfig {
  dModel: number;
  numHeads: number;
  /** Key and value heads, dividing `numHeads`. Default `numHeads`. */
  numKvHeads?: number | undefined;
  /** Channels of each head that are rotated; 0: none. Default: all. */
  rotaryDim?: number | undefined;
  /** Base of the rotary frequencies. Default 10000. */
  theta?: number;
  /** Rotary pairs (2i, 2i+1) instead of (i, i + R/2). */
  interleaved?: boolean;
  rotaryScaling?: RotaryScaling | undefined;
  /** Earlier positions seen besides the own one (1023 means 1024 keys). −1 (default): all. */
  windowSize?: number;
  /** Biases in both projections. Default false. */
  bias?: boolean;
  /** Factor of the scores. Default 1/sqrt(headDim). */
  scale?: number | undefined;
  /** Standard deviation of the initial `Wqkv`. Default 0.02. */
  initStd?: number;
  /** Standard deviation of the initial `out_proj`. Default `initStd`. */
  outInitStd?: number;
}

/**
 * Causal self-attention with rotary positions that restart at documents, an optional window and grouped key/value heads.
 *
 * Keys: `Wqkv.weight` (D + 2·Dkv, D), rows q, then k, then v, each head after head; `out_proj.weight` (D, D).
 * @source layout and rotary convention of goombalab/hnet (`mha.py`).
 */
export class SelfAttention extends Module {
  readonly config: Readonly<SelfAttentionConfig>;
  readonly dModel: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Earlier positions seen; −1: all. */
  readonly windowLeft: number;
  readonly scale: number;
  readonly Wqkv: Linear;
  readonly outProj: Linear;
  readonly rotary: RotaryEmbedding | undefined;
  readonly cache: KvCache;

  /** @throws ConfigError listing every problem. */
  constructor(config: SelfAttentionConfig, rng?: Rng) {
    super();
    this.config = config;
    const { dModel, numHeads, numKvHeads = numHeads, windowSize = -1, bias = false, theta, interleaved, initStd = 0.02 } = config;
    const headDim = dModel / numHeads;
    const rotaryDim = config.rotaryDim ?? headDim;
    const problems: string[] = [];
    if (!Number.isInteger(headDim) || headDim <= 0) problems.push(`numHeads ${numHeads} does not divide dModel ${dModel}`);
    if (!(numKvHeads > 0) || numHeads % numKvHeads !== 0) problems.push(`numKvHeads ${numKvHeads} does not divide numHeads ${numHeads}`);
    if (!(rotaryDim >= 0 && rotaryDim <= headDim && rotaryDim % 2 === 0)) problems.push(`rotaryDim ${rotaryDim} is not an even number in 0..${headDim} (the head's width)`);
    if (!Number.isInteger(windowSize)) problems.push(`windowSize ${windowSize} is not a whole number`);
    if (problems.length) throw new ConfigError(`[SelfAttention] ${problems.join('; ')}.`);
    this.dModel = dModel;
    this.numHeads = numHeads;
    this.numKvHeads = numKvHeads;
    this.headDim = headDim;
    this.windowLeft = windowSize < 0 ? -1 : windowSize;
    this.scale = config.scale ?? 1 / Math.sqrt(headDim);
    const kvDim = numKvHeads * headDim;
    this.Wqkv = this.addModule('Wqkv', new Linear({ inFeatures: dModel, outFeatures: dModel + 2 * kvDim, bias, initStd }, rng?.fork('Wqkv')));
    this.outProj = this.addModule('out_proj', new Linear({ inFeatures: dModel, outFeatures: dModel, bias, initStd: config.outInitStd ?? initStd }, rng?.fork('out_proj')));
    if (rotaryDim > 0) {
      this.rotary = new RotaryEmbedding({ rotaryDim, ...(theta === undefined ? {} : { theta }), ...(interleaved === undefined ? {} : { interleaved }), scaling: config.rotaryScaling });
    }
    this.cache = new KvCache({ numKvHeads, headDim, windowLeft: this.windowLeft });
  }

  /** (B, L, D) → (B, L, D), differentiable. Nothing flows between documents; padding gives unspecified finite values. */
  forward(x: tf.Tensor3D, ctx: SequenceContext): tf.Tensor3D {
    checkShape('SelfAttention.forward', x, 'x', `(${ctx.batch}, ${ctx.length}, ${this.dModel})`, {}, 'float32');
    return tf.tidy(() => {
      const positions = ctx.documentIds && (ctx.make('documentPositions', () => tf.tensor2d(ctx.positions(), [ctx.batch, ctx.length], 'int32')) as tf.Tensor2D);
      const { q, k, v } = this.project(x, positions ? { positions, max: ctx.length - 1 } : 0);
      const { y } = attention(q, { k, v, scale: this.scale, mask: { causal: true, windowLeft: this.windowLeft, documentIds: ctx.documentIdsTensor() } });
      return this.output(y);
    });
  }

  initState(batchSize: number): KvCacheState {
    return this.cache.init(batchSize);
  }

  /** Any number of positions on top of a state. A row's first document goes on from the state; a further one starts anew. */
  prefill(x: tf.Tensor3D, state: KvCacheState, ctx: SequenceContext): { y: tf.Tensor3D; state: KvCacheState } {
    checkShape('SelfAttention.prefill', x, 'x', `(${state.lengths.length}, ${ctx.length}, ${this.dModel})`, {}, 'float32');
    const piece = layOut(state.lengths, ctx);
    const seen = state.lengths.some((n) => n > 0);
    const made = tf.tidy(() => {
      const at = typeof piece.start === 'number' ? piece.start : { positions: tf.tensor2d(piece.start, [ctx.batch, ctx.length], 'int32'), max: piece.maxPosition };
      const { q, k, v } = this.project(x, at);
      const y = seen ? this.attendWithCache(q, k, v, state, ctx) : attention(q, { k, v, scale: this.scale, mask: { causal: true, windowLeft: this.windowLeft, documentIds: ctx.documentIdsTensor() } }).y;
      return { y: this.output(y), k: tf.clone(k), v: tf.clone(v) };
    });
    piece.restarts.forEach((b) => (state.lengths[b] = 0));
    const next = this.cache.append(state, made.k, made.v, { counts: piece.counts, from: piece.from });
    tf.dispose([made.k, made.v]);
    return { y: made.y, state: next };
  }

  /** One position: x (R, D), one row for each entry of `rows` (default all). */
  step(x: tf.Tensor2D, state: KvCacheState, rows?: readonly number[]): { y: tf.Tensor2D; state: KvCacheState } {
    const R = rows?.length ?? state.lengths.length;
    checkShape('SelfAttention.step', x, 'x', `(${R}, ${this.dModel})`, {}, 'float32');
    const row = (i: number) => (rows ? rows[i]! : i);
    const at = Int32Array.from({ length: R }, (_, i) => state.lengths[row(i)]!);
    const { q, k, v } = tf.tidy(() => {
      const positions = { positions: tf.tensor2d(at, [R, 1], 'int32'), max: Math.max(0, ...at) };
      const made = this.project(tf.reshape(x, [R, 1, this.dModel]) as tf.Tensor3D, positions);
      return { q: tf.clone(made.q), k: tf.clone(made.k), v: tf.clone(made.v) };
    });
    const next = this.cache.append(state, k, v, { rows });
    const y = tf.tidy(() => {
      const counts = Array.from({ length: R }, (_, i) => this.cache.filled(next, row(i)));
      const one = decodeAttention(tf.reshape(q, [R, this.numHeads, this.headDim]) as tf.Tensor3D, { k: next.k, v: next.v, counts, rows, scale: this.scale });
      return this.outProj.forward(tf.reshape(one, [R, this.dModel]) as tf.Tensor2D);
    });
    tf.dispose([q, k, v]);
    return { y, state: next };
  }

  startDocument(state: KvCacheState, rows: readonly number[]): KvCacheState {
    return rows.reduce((s, row) => this.cache.reset(s, row), state);
  }

  /** New queries against what the cache held before them and the new keys themselves. */
  private attendWithCache(q: tf.Tensor4D, k: tf.Tensor4D, v: tf.Tensor4D, state: KvCacheState, ctx: SequenceContext): tf.Tensor4D {
    const [B, T] = [ctx.batch, ctx.length];
    const C = state.k.shape[1];
    const piece = layOut(state.lengths, ctx);
    const cached = this.cache.keyPositions(state);
    const positions = piece.positions;
    const keyPositions = new Int32Array(B * (C + T));
    const keySegments = ctx.documentIds && new Int32Array(B * (C + T));
    for (let b = 0; b < B; b++) {
      keyPositions.set(cached.subarray(b * C, (b + 1) * C), b * (C + T));
      for (let t = 0; t < T; t++) keyPositions[b * (C + T) + C + t] = ctx.isReal(b, t) ? positions[b * T + t]! : -1;
      if (keySegments) {
        keySegments.fill(ctx.documentIds![b * T]!, b * (C + T), b * (C + T) + C);
        keySegments.set(ctx.documentIds!.subarray(b * T, (b + 1) * T), b * (C + T) + C);
      }
    }
    const { y } = attention(q, {
      k: tf.concat([state.k, k], 1),
      v: tf.concat([state.v, v], 1),
      scale: this.scale,
      mask: {
        causal: true,
        windowLeft: this.windowLeft,
        queryPositions: tf.tensor2d(positions, [B, T], 'int32'),
        keyPositions: tf.tensor2d(keyPositions, [B, C + T], 'int32'),
        ...(keySegments ? { querySegments: ctx.documentIdsTensor(), keySegments: tf.tensor2d(keySegments, [B, C + T], 'int32') } : {}),
      },
    });
    return y;
  }

  /** Queries, keys and values (B, T, heads, headDim), rotated. */
  private project(x: tf.Tensor3D, at: number | { positions: tf.Tensor2D; max: number }): { q: tf.Tensor4D; k: tf.Tensor4D; v: tf.Tensor4D } {
    const [B, T] = x.shape;
    const { numHeads, numKvHeads, headDim, rotary } = this;
    const heads = (t: tf.Tensor, n: number) => tf.reshape(t, [B, T, n, headDim]) as tf.Tensor4D;
    // Queries and keys are neighbours and turn alike: one rotation for both.
    const qkDim = (numHeads + numKvHeads) * headDim;
    const [qk, v] = splitLast(this.Wqkv.forward(x), [qkDim, numKvHeads * headDim]) as [tf.Tensor, tf.Tensor];
    const turned = heads(qk, numHeads + numKvHeads);
    const flat = tf.reshape(rotary ? rotary.apply(turned, at) : turned, [B, T, qkDim]);
    const [q, k] = splitLast(flat, [numHeads * headDim, numKvHeads * headDim]) as [tf.Tensor, tf.Tensor];
    return { q: heads(q, numHeads), k: heads(k, numKvHeads), v: heads(v, numKvHeads) };
  }

  private output(y: tf.Tensor4D): tf.Tensor3D {
    const [B, T] = y.shape;
    return this.outProj.forward(tf.reshape(y, [B, T, this.dModel]) as tf.Tensor3D);
  }

  override dispose(): void {
    super.dispose();
    this.rotary?.dispose();
  }
}
