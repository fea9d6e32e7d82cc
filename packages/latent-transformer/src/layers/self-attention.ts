import * as tf from '@tensorflow/tfjs-core';
import { checkShape, ConfigError, Linear, Module, type Rng, type SequenceContext } from '@bytelm/core';
import { KvCache, type KvCacheState } from '../kv-cache.js';
import { attention } from '../ops/attention.js';
import { decodeAttention } from '../ops/decode-attention.js';
import { RotaryEmbedding } from '../rotary-embedding.js';
import type { RotaryScaling } from '../rotary-scaling.js';
import { layOut } from './continuation.js';
import { TRANSFORMER_NAMES, type AttentionNames } from './names.js';
import { QkvProjection, type QkNorm } from './qkv-projection.js';

export interface SelfAttentionConfig {
  dModel: number;
  numHeads: number;
  /** Key and value heads, dividing `numHeads`. Default `numHeads`. */
  numKvHeads?: number | undefined;
  /** Width of a head. Default dModel / numHeads. */
  headDim?: number | undefined;
  /** Names of the parameters; matrices for queries, keys and values, or one for all. Default `{ qkv: 'Wqkv', o: 'out_proj' }`. */
  projections?: AttentionNames;
  /** RMS norms of queries and keys before their rotation. Default: none. */
  qkNorm?: QkNorm | undefined;
  /** Channels of each head that are rotated; 0: none. Default: all. */
  rotaryDim?: number | undefined;
  /** Base of the rotary frequencies. Default 10000. */
  theta?: number;
  /** Rotary pairs (2i, 2i+1) instead of (i, i + R/2). */
  interleaved?: boolean;
  rotaryScaling?: RotaryScaling | undefined;
  /** Earlier positions seen besides the own one (1023 means 1024 keys). −1 (default): all. */
  windowSize?: number;
  /** Biases in all projections. Default false. */
  bias?: boolean;
  /** Biases of queries, keys and values. Default `bias`. */
  qkvBias?: boolean;
  /** Factor of the scores. Default 1/sqrt(headDim). */
  scale?: number | undefined;
  /** Inside the root of the query and key norms. Default 1e-5. */
  normEps?: number;
  /** Slots of a window's ring beyond the window, see `KvCache`. Default 0. */
  cacheSlack?: number;
  /** Positions that a cache has room for at first. Default 64. */
  cacheCapacity?: number;
  /** Standard deviation of the initial query, key and value weights. Default 0.02. */
  initStd?: number;
  /** Standard deviation of the initial output projection. Default `initStd`. */
  outInitStd?: number;
  /** Initial weights beyond so many standard deviations are drawn again. */
  initCut?: number | undefined;
}

/**
 * Causal self-attention with rotary positions that restart at documents, an optional window, grouped key/value heads and optional norms
 * of queries and keys.
 *
 * Keys by `projections`: `Wqkv.weight` (Dq + 2·Dkv, D), rows q, then k, then v, each head after head, and `out_proj.weight` (D, Dq); or,
 * with `{ q: 'wq', k: 'wk', v: 'wv', o: 'wo' }`, `wq.weight` (Dq, D), `wk.weight` and `wv.weight` (Dkv, D), `wo.weight` (D, Dq). With
 * `qkNorm` also `q_norm.weight` and `k_norm.weight`, (Dq) and (Dkv), or (headDim) each.
 * @source layouts and rotary conventions of goombalab/hnet (`mha.py`), Llama, OLMo 2.
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
  readonly projection: QkvProjection;
  readonly outProj: Linear;
  readonly rotary: RotaryEmbedding | undefined;
  readonly cache: KvCache;

  /** @throws ConfigError listing every problem. */
  constructor(config: SelfAttentionConfig, rng?: Rng) {
    super();
    this.config = config;
    const { dModel, numHeads, numKvHeads = numHeads, windowSize = -1, bias = false, theta, interleaved, normEps = 1e-5, qkNorm, initStd = 0.02, initCut } = config;
    const headDim = config.headDim ?? dModel / numHeads;
    const rotaryDim = config.rotaryDim ?? headDim;
    const names: AttentionNames = config.projections ?? TRANSFORMER_NAMES.hnet.attention;
    const problems: string[] = [];
    if (!Number.isInteger(headDim) || headDim <= 0) problems.push(config.headDim === undefined ? `numHeads ${numHeads} does not divide dModel ${dModel}` : `headDim ${headDim} is not a positive whole number`);
    if (!(numKvHeads > 0) || numHeads % numKvHeads !== 0) problems.push(`numKvHeads ${numKvHeads} does not divide numHeads ${numHeads}`);
    if (!(rotaryDim >= 0 && rotaryDim <= headDim && rotaryDim % 2 === 0)) problems.push(`rotaryDim ${rotaryDim} is not an even number in 0..${headDim} (the head's width)`);
    if (!Number.isInteger(windowSize)) problems.push(`windowSize ${windowSize} is not a whole number`);
    if (qkNorm !== undefined && qkNorm !== 'all-heads' && qkNorm !== 'per-head') problems.push(`qkNorm ${JSON.stringify(qkNorm)} is neither 'all-heads' nor 'per-head'`);
    if (problems.length) throw new ConfigError(`[SelfAttention] ${problems.join('; ')}.`);
    this.dModel = dModel;
    this.numHeads = numHeads;
    this.numKvHeads = numKvHeads;
    this.headDim = headDim;
    this.windowLeft = windowSize < 0 ? -1 : windowSize;
    this.scale = config.scale ?? 1 / Math.sqrt(headDim);
    const qkv = { dModel, numHeads, numKvHeads, headDim, names, bias: config.qkvBias ?? bias, qkNorm, normEps, initStd, initCut };
    this.projection = this.addModule('', new QkvProjection(qkv, rng));
    this.outProj = this.addModule(names.o, new Linear({ inFeatures: numHeads * headDim, outFeatures: dModel, bias, initStd: config.outInitStd ?? initStd, initCut }, rng?.fork(names.o)));
    if (rotaryDim > 0) {
      this.rotary = new RotaryEmbedding({ rotaryDim, ...(theta === undefined ? {} : { theta }), ...(interleaved === undefined ? {} : { interleaved }), scaling: config.rotaryScaling });
    }
    this.cache = new KvCache({ numKvHeads, headDim, windowLeft: this.windowLeft, slack: config.cacheSlack ?? 0, initialCapacity: config.cacheCapacity ?? 64 });
  }

  /** (B, L, D) → (B, L, D), differentiable. Nothing flows between documents; padding gives unspecified finite values. */
  forward(x: tf.Tensor3D, ctx: SequenceContext): tf.Tensor3D {
    checkShape('SelfAttention.forward', x, 'x', `(${ctx.batch}, ${ctx.length}, ${this.dModel})`, {}, 'float32');
    return tf.tidy(() => {
      const positions = ctx.documentIds && (ctx.make('documentPositions', () => tf.tensor2d(ctx.positions(), [ctx.batch, ctx.length], 'int32')) as tf.Tensor2D);
      const { q, k, v } = this.projection.forward(x, this.rotary, positions ? { positions, max: ctx.length - 1 } : 0);
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
      const { q, k, v } = this.projection.forward(x, this.rotary, at);
      const y = seen ? this.attendWithCache(q, k, v, state, ctx) : attention(q, { k, v, scale: this.scale, mask: { causal: true, windowLeft: this.windowLeft, documentIds: ctx.documentIdsTensor() } }).y;
      return { y: this.output(y), k: tf.clone(k), v: tf.clone(v) };
    });
    const fresh = this.startDocument(state, piece.restarts);
    const next = this.cache.append(fresh, made.k, made.v, { counts: piece.counts, from: piece.from });
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
      const made = this.projection.forward(tf.reshape(x, [R, 1, this.dModel]) as tf.Tensor3D, this.rotary, positions);
      return { q: tf.clone(made.q), k: tf.clone(made.k), v: tf.clone(made.v) };
    });
    const next = this.cache.append(state, k, v, { rows });
    const y = tf.tidy(() => {
      const seen = Array.from({ length: R }, (_, i) => this.cache.visible(next, row(i)));
      const one = decodeAttention(tf.reshape(q, [R, this.numHeads, this.headDim]) as tf.Tensor3D, {
        k: next.k,
        v: next.v,
        starts: seen.map((s) => s.start),
        counts: seen.map((s) => s.count),
        rows,
        scale: this.scale,
      });
      return this.outProj.forward(tf.reshape(one, [R, this.numHeads * this.headDim]) as tf.Tensor2D);
    });
    tf.dispose([q, k, v]);
    return { y, state: next };
  }

  startDocument(state: KvCacheState, rows: readonly number[]): KvCacheState {
    return rows.reduce((s, row) => this.cache.reset(s, row), state);
  }

  /** Takes back the last `steps[i]` positions of `rows[i]`. @throws DataError when a window's ring no longer holds what is needed. */
  rollback(state: KvCacheState, rows: readonly number[], steps: readonly number[]): KvCacheState {
    return rows.reduce((s, row, i) => this.cache.rollback(s, row, s.lengths[row]! - steps[i]!), state);
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

  private output(y: tf.Tensor4D): tf.Tensor3D {
    const [B, T] = y.shape;
    return this.outProj.forward(tf.reshape(y, [B, T, this.numHeads * this.headDim]) as tf.Tensor3D);
  }

  override dispose(): void {
    super.dispose();
    this.rotary?.dispose();
  }
}
