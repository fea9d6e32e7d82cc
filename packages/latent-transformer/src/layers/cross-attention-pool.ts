import * as tf from '@tensorflow/tfjs-core';
import {
  checkShape,
  ConfigError,
  hostState,
  hostValues,
  Linear,
  Module,
  putRows,
  segmentPool,
  splitLast,
  takeRows,
  type BoundaryDecision,
  type DeviceDecision,
  type Downsampler,
  type OnDevice,
  type Rng,
  type Segmentation,
  type SequenceContext,
  type WasmHeap,
} from '@bytelm/core';
import { inPlaceHeap } from '../kernels/cache-rows.js';
import { crossAttendWasm, crossKeysValuesWasm } from '../kernels/cross-step/wasm.js';
import { emptyRows } from '../kernels/step-rows.js';
import { KvCache, type KvCacheState } from '../kv-cache.js';
import { decodeAttention } from '../ops/decode-attention.js';
import { CrossAttention, type CrossAttentionConfig } from './cross-attention.js';
import { joinOpenBytes, layPatches, openMaximum, raised, type CrossAttentionPoolState, type KeysValues } from './open-patches.js';
import { poolOnDevice } from './pool-on-device.js';

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

export type { CrossAttentionPoolState };

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
  readonly dEncoded: number;
  /** Width of a chunk. */
  readonly dOut: number;
  readonly queriesPerChunk: number;
  readonly projection: Linear;
  readonly layers: readonly CrossAttention[];
  readonly onDevice: OnDevice<{ encoded: tf.Tensor2D; decision: DeviceDecision }, tf.Tensor2D, CrossAttentionPoolState>;
  /** Of the bytes of open patches. */
  readonly cache: KvCache;

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
    this.dEncoded = layers * dModel;
    this.dOut = queriesPerChunk * dModel;
    const { projectionName: projection = 'patch_embedding_projection', layerPrefix: prefix = 'cross_attn_layers' } = config;
    this.projection = this.addModule(projection, new Linear({ inFeatures: dModel, outFeatures: this.dOut, bias: false, initStd, initCut }, rng?.fork(projection)));
    this.layers = Array.from({ length: layers }, (_, i) => this.addModule(`${prefix}.${i}`, new CrossAttention(config, rng?.fork(`${prefix}.${i}`))));
    this.cache = new KvCache({ numKvHeads: numHeads, headDim: dModel / numHeads, initialCapacity: 16 });
    this.onDevice = poolOnDevice(this);
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
    const heap = inPlaceHeap();
    const max = this.raise(encoded, state, rows);
    const layers = heap ? this.appendInPlace(heap, encoded, state, rows) : this.append(encoded, state, rows);
    const next = { max, layers };
    const fired = Array.from(decision.boundary, (_, i) => i)
      .filter((i) => decision.boundary[i])
      .map((i) => (rows ? rows[i]! : i));
    if (!fired.length) return { state: next };
    const chunks = heap ? this.closeInOneCall(heap, next, fired) : this.close(next, fired);
    return { chunks, state: this.startDocument(next, fired) };
  }

  startDocument(state: CrossAttentionPoolState, rows: readonly number[]): CrossAttentionPoolState {
    return { max: state.max, layers: state.layers.map((s) => rows.reduce((t, row) => this.cache.reset(t, row), s)) };
  }

  /** The running maximum with one more byte in each of the rows; consumes the state's. */
  private raise(encoded: tf.Tensor2D, { max, layers }: CrossAttentionPoolState, rows: readonly number[] | undefined): tf.Tensor2D {
    const D = this.dModel;
    const [R, width] = encoded.shape;
    const begins = Array.from({ length: R }, (_, i) => layers[0]!.lengths[rows ? rows[i]! : i] === 0);
    const values = hostState(max);
    const from = values && hostValues(encoded);
    if (values && from) {
      for (let i = 0; i < R; i++)
        for (let d = 0, to = (rows ? rows[i]! : i) * D, at = i * width; d < D; d++, to++, at++) {
          if (begins[i] || from[at]! > values[to]!) values[to] = from[at]!;
        }
      return max;
    }
    const next = tf.tidy(() => {
      const x = width === D ? encoded : tf.slice(encoded, [0, 0], [R, D]);
      return putRows(max, rows, raised(x, takeRows(max, rows), begins));
    });
    max.dispose();
    return next;
  }

  private append(encoded: tf.Tensor2D, state: CrossAttentionPoolState, rows: readonly number[] | undefined): KvCacheState[] {
    const [R, width] = encoded.shape;
    const fresh = tf.tidy(() => this.keysValues(this.outputsOf(tf.reshape(encoded, [R, 1, width]) as tf.Tensor3D)));
    const layers = state.layers.map((s, i) => this.cache.append(s, fresh[i]!.k, fresh[i]!.v, { rows }));
    for (const { k, v } of fresh) tf.dispose([k, v]);
    return layers;
  }

  private appendInPlace(heap: WasmHeap, encoded: tf.Tensor2D, state: CrossAttentionPoolState, rows: readonly number[] | undefined): KvCacheState[] {
    return this.layers.map((layer, i) => {
      const { state: next, slots } = this.cache.claim(state.layers[i]!, rows);
      const targets = slots.map((slot, r) => (rows ? rows[r]! : r) * next.k.shape[1] + slot);
      crossKeysValuesWasm(heap, layer, { x: encoded, first: i * this.dModel, stride: encoded.shape[1] }, next, targets);
      return next;
    });
  }

  /** `close` in one call a layer: every slot is a row, and the pair (hidden, residual) goes from layer to layer. */
  private closeInOneCall(heap: WasmHeap, state: CrossAttentionPoolState, fired: readonly number[]): tf.Tensor2D {
    const [F, S, D] = [fired.length, this.queriesPerChunk, this.dModel];
    const rows = fired.flatMap((b) => Array<number>(S).fill(b));
    return tf.tidy(() => {
      let pair: { hidden: tf.Tensor2D; residual?: tf.Tensor2D } = { hidden: tf.reshape(this.projection.forward(takeRows(state.max, fired)), [F * S, D]) };
      this.layers.forEach((layer, i) => {
        const own = state.layers[i]!;
        const out = { hidden: emptyRows(heap, F * S, D), residual: emptyRows(heap, F * S, D) };
        crossAttendWasm(heap, layer, pair, own, { rows, counts: rows.map((b) => own.lengths[b]!) }, out);
        pair = out;
      });
      return tf.reshape(tf.add(pair.hidden, pair.residual!), [F, this.dOut]) as tf.Tensor2D;
    });
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

  /** What each attention layer reads of (B, L, layers·D). @internal */
  outputsOf(encoded: tf.Tensor3D): tf.Tensor3D[] {
    const n = this.layers.length;
    return n === 1 ? [encoded] : (splitLast(encoded, Array<number>(n).fill(this.dModel)) as tf.Tensor3D[]);
  }

  private keysValues(outputs: tf.Tensor3D[]): KeysValues[] {
    return outputs.map((x, i) => this.layers[i]!.keysValues(x) as KeysValues);
  }
}

/** The published double residual. @internal */
export const twice = <T extends tf.Tensor>(x: T, attended: tf.Tensor): T => tf.add(tf.mul(x, 2), attended) as T;
