import * as tf from '@tensorflow/tfjs-core';
import {
  checkShape,
  ConfigError,
  gatherRows,
  Linear,
  Module,
  putRows,
  segmentPool,
  splitLast,
  takeRows,
  type BoundaryDecision,
  type Downsampler,
  type Rng,
  type Segmentation,
  type SequenceContext,
} from '@bytelm/core';
import { KvCache, type KvCacheState } from '../kv-cache.js';
import { decodeAttention } from '../ops/decode-attention.js';
import { CrossAttention, type CrossAttentionConfig } from './cross-attention.js';
import { layPatches, type PatchLayout } from './open-patches.js';

export interface CrossAttentionPoolConfig extends CrossAttentionConfig {
  /** Query slots of a patch, k: a chunk is k·dModel wide. */
  queriesPerChunk: number;
  /** What the queries start from. Only 'max', the maximum over the patch's bytes, is published. */
  init?: 'max';
  /** Encoder layers that are attended to, one after the other; the encoder then shows that many outputs side by side (`dOut`). Default 1. */
  layers?: number;
  /** Name of the projection to queries. Default 'patch_embedding_projection'. */
  projectionName?: string;
  /** Prefix of the attention layers. Default 'cross_attn_layers'. */
  layerPrefix?: string;
}

/** The bytes of each row's open patch. */
export interface CrossAttentionPoolState {
  /** (B, D) their maximum; meaningless in rows without an open byte. */
  max: tf.Tensor2D;
  /** Their keys and values for each layer. */
  layers: KvCacheState[];
}

type KeysValues = { k: tf.Tensor4D; v: tf.Tensor4D };

/**
 * BLT's pooling: the maximum over a patch's bytes, projected to k query slots, which attend to those bytes; the slots side by side are the chunk.
 * Around the attention there are **two** residuals, `q ← 2q + attention(q)`, in the published code and so in its checkpoints. With several layers
 * the slots are carried on from layer to layer (pooled once).
 *
 * Keys: `patch_embedding_projection.weight` (k·D, D); `cross_attn_layers.{i}.…` of `CrossAttention`.
 * @source arXiv 2412.09871, section 3.2.2; facebookresearch/blt (`local_models.py`).
 */
export class CrossAttentionPool extends Module implements Downsampler<CrossAttentionPoolState> {
  readonly config: Readonly<CrossAttentionPoolConfig>;
  readonly dModel: number;
  /** Width of a chunk. */
  readonly dOut: number;
  readonly queriesPerChunk: number;
  readonly projection: Linear;
  readonly layers: readonly CrossAttention[];
  private readonly cache: KvCache;

  /** @throws ConfigError */
  constructor(config: CrossAttentionPoolConfig, rng?: Rng) {
    super();
    const { dModel, queriesPerChunk, numHeads, init = 'max', layers = 1, initStd = dModel ** -0.5, initCut = 3 } = config;
    const problems: string[] = [];
    if (!(Number.isInteger(queriesPerChunk) && queriesPerChunk > 0)) problems.push(`queriesPerChunk: expected a positive whole number, got ${queriesPerChunk}`);
    if (!(Number.isInteger(layers) && layers > 0 && layers <= 8)) problems.push(`layers: expected 1 to 8, got ${layers}`);
    if (init !== 'max') problems.push(`init: expected 'max', got ${JSON.stringify(init)}`);
    if (problems.length) throw new ConfigError(`[CrossAttentionPool] ${problems.join('; ')}.`);
    this.config = config;
    this.dModel = dModel;
    this.queriesPerChunk = queriesPerChunk;
    this.dOut = queriesPerChunk * dModel;
    const { projectionName: projection = 'patch_embedding_projection', layerPrefix: prefix = 'cross_attn_layers' } = config;
    this.projection = this.addModule(projection, new Linear({ inFeatures: dModel, outFeatures: this.dOut, bias: false, initStd, initCut }, rng?.fork(projection)));
    this.layers = Array.from({ length: layers }, (_, i) => this.addModule(`${prefix}.${i}`, new CrossAttention(config, rng?.fork(`${prefix}.${i}`))));
    this.cache = new KvCache({ numKvHeads: numHeads, headDim: dModel / numHeads, initialCapacity: 16 });
  }

  /** (B, L, layers·D) → (B, M, k·D), differentiable; chunks beyond a row's last one are 0. */
  forward(encoded: tf.Tensor3D, seg: Segmentation, ctx: SequenceContext): tf.Tensor3D {
    checkShape('CrossAttentionPool.forward', encoded, 'encoded', `(${seg.batch}, ${seg.length}, ${this.dModel * this.layers.length})`, {}, 'float32');
    return tf.tidy(() => {
      const apart = ctx.documentIds && seg.drawnAt === 'start';
      const ids = apart ? tf.tensor2d(layPatches(seg, ctx).ids, [seg.batch, seg.length], 'int32') : seg.pooledInto();
      const outputs = this.outputsOf(encoded);
      const pooled = segmentPool(outputs[0]!, ids, seg.maxChunks, 'max');
      return this.attend(pooled, this.keysValues(outputs), ids);
    });
  }

  initState(batchSize: number): CrossAttentionPoolState {
    return { max: tf.zeros([batchSize, this.dModel]), layers: this.layers.map(() => this.cache.init(batchSize)) };
  }

  /** The first patch that closes in a row takes in the bytes that the state holds open; those behind the last boundary stay open. */
  prefill(encoded: tf.Tensor3D, seg: Segmentation, state: CrossAttentionPoolState, ctx: SequenceContext): { chunks: tf.Tensor3D; state: CrossAttentionPoolState } {
    const open = state.layers[0]!.lengths;
    checkShape('CrossAttentionPool.prefill', encoded, 'encoded', `(${open.length}, ${seg.length}, ${this.dModel * this.layers.length})`, {}, 'float32');
    const layout = layPatches(seg, ctx);
    const made = tf.tidy(() => {
      const outputs = this.outputsOf(encoded);
      const fresh = this.keysValues(outputs);
      const ids = tf.tensor2d(layout.ids, [seg.batch, seg.length], 'int32');
      const joined = joinOpenBytes(segmentPool(outputs[0]!, ids, seg.maxChunks, 'max'), fresh, ids, state, layout);
      return { chunks: this.attend(joined.pooled, joined.memory, joined.ids), max: openMaximum(outputs[0]!, state, layout), fresh: fresh.map(({ k, v }) => ({ k: tf.clone(k), v: tf.clone(v) })) };
    });
    state.max.dispose();
    const layers = state.layers.map((s, i) => {
      layout.stays.forEach((stays, b) => stays || this.cache.reset(s, b));
      return this.cache.append(s, made.fresh[i]!.k, made.fresh[i]!.v, layout);
    });
    tf.dispose(made.fresh as never);
    return { chunks: made.chunks, state: { max: made.max, layers } };
  }

  step(encoded: tf.Tensor2D, decision: BoundaryDecision, state: CrossAttentionPoolState, rows?: readonly number[]): { chunks?: tf.Tensor2D; state: CrossAttentionPoolState } {
    const R = rows?.length ?? state.layers[0]!.lengths.length;
    checkShape('CrossAttentionPool.step', encoded, 'encoded', `(${R}, ${this.dModel * this.layers.length})`, {}, 'float32');
    const row = (i: number) => (rows ? rows[i]! : i);
    const made = tf.tidy(() => {
      const outputs = this.outputsOf(tf.reshape(encoded, [R, 1, encoded.shape[1]]) as tf.Tensor3D);
      const begins = Array.from({ length: R }, (_, i) => state.layers[0]!.lengths[row(i)] === 0);
      const x = tf.reshape(outputs[0]!, [R, this.dModel]) as tf.Tensor2D;
      return { max: putRows(state.max, rows, raised(x, takeRows(state.max, rows), begins)), fresh: this.keysValues(outputs) };
    });
    state.max.dispose();
    const layers = state.layers.map((s, i) => this.cache.append(s, made.fresh[i]!.k, made.fresh[i]!.v, { rows }));
    tf.dispose(made.fresh as never);
    const next = { max: made.max, layers };
    const fired = Array.from(decision.boundary, (_, i) => i).filter((i) => decision.boundary[i]).map(row);
    if (!fired.length) return { state: next };
    const chunks = this.close(next, fired);
    return { chunks, state: this.startDocument(next, fired) };
  }

  startDocument(state: CrossAttentionPoolState, rows: readonly number[]): CrossAttentionPoolState {
    return { max: state.max, layers: state.layers.map((s) => rows.reduce((t, row) => this.cache.reset(t, row), s)) };
  }

  /** The chunks of these rows' open patches, (F, k·D). */
  private close(state: CrossAttentionPoolState, fired: readonly number[]): tf.Tensor2D {
    const F = fired.length;
    const S = this.queriesPerChunk;
    return tf.tidy(() => {
      let slots = tf.reshape(this.projection.forward(takeRows(state.max, fired)), [F, S, this.dModel]);
      this.layers.forEach((layer, i) => {
        const { k, v, lengths } = state.layers[i]!;
        const { numHeads: H, headDim: P } = layer;
        // All slots read the same keys: as query heads of a shared key head each key is read once.
        const q = tf.reshape(tf.transpose(layer.queries(layer.normQuery.forward(slots)), [0, 2, 1, 3]), [F, H * S, P]) as tf.Tensor3D;
        const y = decodeAttention(q, { k, v, counts: fired.map((b) => lengths[b]!), rows: fired, scale: layer.scale });
        slots = twice(slots, layer.output(tf.transpose(tf.reshape(y, [F, H, S, P]), [0, 2, 1, 3])));
      });
      return tf.reshape(slots, [F, this.dOut]) as tf.Tensor2D;
    });
  }

  /** Pooled (B, M, D) → chunks (B, M, k·D). */
  private attend(pooled: tf.Tensor3D, memory: KeysValues[], ids: tf.Tensor2D): tf.Tensor3D {
    const [B, M] = pooled.shape;
    let slots = tf.reshape(this.projection.forward(pooled), [B, M, this.queriesPerChunk, this.dModel]) as tf.Tensor4D;
    this.layers.forEach((layer, i) => (slots = twice(slots, layer.pool(slots, memory[i]!, ids))));
    return tf.reshape(slots, [B, M, this.dOut]) as tf.Tensor3D;
  }

  private outputsOf(encoded: tf.Tensor3D): tf.Tensor3D[] {
    const n = this.layers.length;
    return n === 1 ? [encoded] : (splitLast(encoded, Array<number>(n).fill(this.dModel)) as tf.Tensor3D[]);
  }

  private keysValues(outputs: tf.Tensor3D[]): KeysValues[] {
    return outputs.map((x, i) => this.layers[i]!.keysValues(x) as KeysValues);
  }
}

/** The published double residual. */
const twice = <T extends tf.Tensor>(x: T, attended: tf.Tensor): T => tf.add(tf.mul(x, 2), attended) as T;

/** max(x, before), in rows that begin a patch x alone. */
function raised<T extends tf.Tensor>(x: T, before: T, begins: readonly boolean[]): T {
  if (begins.every((b) => b)) return tf.clone(x);
  const both = tf.maximum(x, before) as T;
  return begins.some((b) => b) ? choose(begins, x, both) : both;
}

/** Rows of `a` where the flag is set, else of `b`. */
function choose<T extends tf.Tensor>(flags: readonly boolean[], a: T, b: T): T {
  const mask = tf.tensor(flags.map(Number), [flags.length, ...Array<number>(a.rank - 1).fill(1)]);
  return tf.add(tf.mul(a, mask), tf.mul(b, tf.sub(1, mask))) as T;
}

/** The patches of a piece with the bytes that were open before as the first ones of their patch. */
function joinOpenBytes(
  pooled: tf.Tensor3D,
  fresh: KeysValues[],
  ids: tf.Tensor2D,
  state: CrossAttentionPoolState,
  layout: PatchLayout,
): { pooled: tf.Tensor3D; memory: KeysValues[]; ids: tf.Tensor2D } {
  const [B, L] = ids.shape;
  const [, M, D] = pooled.shape;
  const open = Array.from(state.layers[0]!.lengths, (n, b) => (layout.joins[b] ? n : 0));
  const C = Math.max(...open);
  if (C === 0) return { pooled, memory: fresh, ids };
  const first = tf.reshape(tf.slice(pooled, [0, 0, 0], [B, 1, D]), [B, D]) as tf.Tensor2D;
  const joined = tf.reshape(raised(first, state.max, open.map((n) => n === 0)), [B, 1, D]);
  // Row by row the open bytes directly in front of the new ones: the bytes of a patch are without gaps.
  const source = new Int32Array(B * (C + L)).fill(-1);
  const allIds = new Int32Array(B * (C + L)).fill(-1);
  for (let b = 0; b < B; b++) {
    const at = b * (C + L);
    const n = open[b]!;
    for (let j = 0; j < n; j++) source[at + j] = j;
    for (let t = 0; t < L; t++) source[at + n + t] = C + t;
    allIds.fill(0, at, at + n);
    allIds.set(layout.ids.subarray(b * L, (b + 1) * L), at + n);
  }
  const index = tf.tensor2d(source, [B, C + L], 'int32');
  const join = (cached: tf.Tensor4D, x: tf.Tensor4D): tf.Tensor4D => {
    const [, , H, P] = x.shape;
    const both = tf.concat([tf.slice(cached, [0, 0, 0, 0], [B, C, H, P]), x], 1);
    return tf.reshape(gatherRows(tf.reshape(both, [B, C + L, H * P]), index), [B, C + L, H, P]) as tf.Tensor4D;
  };
  return {
    pooled: M === 1 ? (joined as tf.Tensor3D) : (tf.concat([joined, tf.slice(pooled, [0, 1, 0], [B, M - 1, D])], 1) as tf.Tensor3D),
    memory: fresh.map(({ k, v }, i) => ({ k: join(state.layers[i]!.k, k), v: join(state.layers[i]!.v, v) })),
    ids: tf.tensor2d(allIds, [B, C + L], 'int32'),
  };
}

/** (B, D) the maximum over the bytes that are open behind a piece. */
function openMaximum(x: tf.Tensor3D, state: CrossAttentionPoolState, { stays, from, counts }: PatchLayout): tf.Tensor2D {
  const [B, L, D] = x.shape;
  const ids = new Int32Array(B * L).fill(-1);
  from.forEach((t, b) => ids.fill(0, b * L + t, b * L + t + counts[b]!));
  const here = tf.reshape(segmentPool(x, tf.tensor2d(ids, [B, L], 'int32'), 1, 'max'), [B, D]) as tf.Tensor2D;
  const before = Array.from(state.layers[0]!.lengths, (n, b) => stays[b] === 1 && n > 0);
  const none = Array.from(counts, (n) => n === 0);
  return choose(none, state.max, raised(here, state.max, before.map((yes) => !yes)));
}
