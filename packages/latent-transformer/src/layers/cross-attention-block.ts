import * as tf from '@tensorflow/tfjs-core';
import {
  addRmsNorm,
  checkShape,
  ConfigError,
  DataError,
  Module,
  type AddedPair,
  type ChunkMemory,
  type OnDevice,
  type ResidualBlock,
  type ResidualPair,
  type Rng,
  type Segmentation,
  type SequenceContext,
} from '@bytelm/core';
import { inPlaceHeap, isOwnOnWebGpu } from '../kernels/cache-rows.js';
import { crossAttendWasm, crossKeysValuesWasm } from '../kernels/cross-step/wasm.js';
import { crossAttendWebGpu } from '../kernels/cross-step/webgpu.js';
import { outputPair } from '../kernels/step-rows.js';
import { canStepOnWebGpu } from '../kernels/transformer-step/webgpu.js';
import { KvCache, type KvCacheState } from '../kv-cache.js';
import { decodeAttention } from '../ops/decode-attention.js';
import { CrossAttention, type CrossAttentionConfig } from './cross-attention.js';
import { crossBlockOnDevice } from './cross-block-on-device.js';

export interface CrossAttentionBlockConfig extends CrossAttentionConfig {
  /** Slots that a chunk consists of, k: chunks are k·dModel wide. */
  slotsPerChunk: number;
}

/**
 * One layer of BLT's decoder attends to the patches: every byte to the k slots of the last patch that is complete once the byte is known
 * (`Segmentation.visibleChunk`), and to nothing before the first one. The published residual is double: `y ← 2y + attention(y)`, that is
 * `residual += hidden; hidden = residual + attention(norm(residual))`.
 *
 * It reads `ctx.memory`, whose chunks (B, M, k·D) are slots side by side (`CrossAttentionDecoder` makes them), and while stepping what `remember`
 * was given. Keys: those of `CrossAttention`.
 * @source arXiv 2412.09871, section 3.3; facebookresearch/blt (`local_models.py`).
 */
export class CrossAttentionBlock extends Module implements ResidualBlock<KvCacheState> {
  readonly config: Readonly<CrossAttentionBlockConfig>;
  readonly dModel: number;
  readonly additions = 1;
  readonly slotsPerChunk: number;
  readonly attention: CrossAttention;
  readonly onDevice: OnDevice<ResidualPair<tf.Tensor2D>, AddedPair<tf.Tensor2D>, KvCacheState>;
  /** A row's keys and values of one chunk: a ring that each new chunk fills wholly. */
  private readonly cache: KvCache;

  /** @throws ConfigError */
  constructor(config: CrossAttentionBlockConfig, rng?: Rng) {
    super();
    const { dModel, numHeads, slotsPerChunk } = config;
    if (!(Number.isInteger(slotsPerChunk) && slotsPerChunk > 0)) {
      throw new ConfigError(`[CrossAttentionBlock] slotsPerChunk: expected a positive whole number, got ${slotsPerChunk}.`);
    }
    this.config = config;
    this.dModel = dModel;
    this.slotsPerChunk = slotsPerChunk;
    this.attention = this.addModule('', new CrossAttention(config, rng));
    this.cache = new KvCache({ numKvHeads: numHeads, headDim: dModel / numHeads, windowLeft: slotsPerChunk - 1, initialCapacity: slotsPerChunk });
    this.onDevice = crossBlockOnDevice(this);
  }

  /** @throws DataError without `ctx.memory`. */
  forward(pair: ResidualPair, ctx: SequenceContext): AddedPair {
    checkShape('CrossAttentionBlock.forward', pair.hidden, 'hidden', `(${ctx.batch}, ${ctx.length}, ${this.dModel})`, {}, 'float32');
    const { chunks, segmentation } = memoryOf(ctx);
    return tf.tidy(() => {
      const { normed, residual } = this.addNorm(pair);
      const slots = this.slotsOf(chunks);
      return { hidden: tf.add(residual, this.attention.read(normed, slots, segmentation.visibleChunk())) as tf.Tensor3D, residual };
    });
  }

  initState(batchSize: number): KvCacheState {
    return this.cache.init(batchSize);
  }

  /** Bytes before a row's first boundary of the piece see what the state remembers. */
  prefill(pair: ResidualPair, state: KvCacheState, ctx: SequenceContext): AddedPair & { state: KvCacheState } {
    const { lengths } = state;
    checkShape('CrossAttentionBlock.prefill', pair.hidden, 'hidden', `(${lengths.length}, ${ctx.length}, ${this.dModel})`, {}, 'float32');
    const { chunks, segmentation } = memoryOf(ctx);
    const made = tf.tidy(() => {
      const { normed, residual } = this.addNorm(pair);
      const { k, v } = this.slotsOf(chunks);
      const behind = (first: tf.Tensor4D, rest: tf.Tensor5D) => tf.concat([tf.expandDims(first, 1), rest], 1) as tf.Tensor5D;
      const remembered = lengths.some((n) => n > 0);
      const read = remembered
        ? this.attention.read(normed, { k: behind(state.k, k), v: behind(state.v, v) }, visibleFromState(segmentation, lengths))
        : this.attention.read(normed, { k, v }, segmentation.visibleChunk());
      return { hidden: tf.add(residual, read) as tf.Tensor3D, residual, k: this.joinSlots(k), v: this.joinSlots(v) };
    });
    const S = this.slotsPerChunk;
    segmentation.numChunks.forEach((n, b) => n > 0 && this.cache.reset(state, b));
    const next = this.cache.append(state, made.k, made.v, {
      from: segmentation.numChunks.map((n) => Math.max(0, n - 1) * S),
      counts: segmentation.numChunks.map((n) => (n > 0 ? S : 0)),
    });
    tf.dispose([made.k, made.v]);
    return { hidden: made.hidden, residual: made.residual, state: next };
  }

  step(pair: ResidualPair<tf.Tensor2D>, state: KvCacheState, rows?: readonly number[], mayReuse?: boolean): AddedPair<tf.Tensor2D> & { state: KvCacheState } {
    const R = rows?.length ?? state.lengths.length;
    checkShape('CrossAttentionBlock.step', pair.hidden, 'hidden', `(${R}, ${this.dModel})`, {}, 'float32');
    const row = (i: number) => (rows ? rows[i]! : i);
    const counts = Array.from({ length: R }, (_, i) => this.cache.visible(state, row(i)).count);
    const heap = inPlaceHeap();
    if (heap) {
      const out = outputPair(heap, pair, mayReuse);
      crossAttendWasm(heap, this.attention, pair, state, { rows: counts.map((_, i) => row(i)), counts }, out);
      return { ...out, state };
    }
    if (!this.attention.wq.packed && isOwnOnWebGpu(state.k, state.v) && canStepOnWebGpu(R, this.attention)) {
      return { ...crossAttendWebGpu(this.attention, pair, state, { rows: counts.map((_, i) => row(i)), counts }), state };
    }
    const out = tf.tidy((): Stepped => {
      const { normed, residual } = this.addNorm(pair);
      const q = this.attention.queries(normed) as tf.Tensor3D;
      const y = decodeAttention(q, { k: state.k, v: state.v, counts, rows, scale: this.attention.scale });
      return { hidden: tf.add(residual, this.attention.output(y)), residual };
    });
    return { ...out, state };
  }

  /** @param chunks (F, k·D) slots side by side. */
  remember(chunks: tf.Tensor2D, state: KvCacheState, rows: readonly number[]): KvCacheState {
    checkShape('CrossAttentionBlock.remember', chunks, 'chunks', `(${rows.length}, ${this.slotsPerChunk * this.dModel})`, {}, 'float32');
    const S = this.slotsPerChunk;
    for (const row of rows) this.cache.reset(state, row);
    const heap = inPlaceHeap();
    if (heap) {
      for (const row of rows) state.lengths[row] = state.written[row] = S;
      const targets = rows.flatMap((row) => Array.from({ length: S }, (_, s) => row * S + s));
      crossKeysValuesWasm(heap, this.attention, { x: chunks, first: 0, stride: this.dModel }, state, targets);
      return state;
    }
    const { k, v } = tf.tidy(() => this.attention.keysValues(tf.reshape(chunks, [rows.length, S, this.dModel])));
    const next = this.cache.append(state, k as tf.Tensor4D, v as tf.Tensor4D, { rows });
    tf.dispose([k, v]);
    return next;
  }

  /** What bytes see does not change when some are taken back. */
  rollback(state: KvCacheState): KvCacheState {
    return state;
  }

  startDocument(state: KvCacheState, rows: readonly number[]): KvCacheState {
    return rows.reduce((s, row) => this.cache.reset(s, row), state);
  }

  /** The pair added up, and its norm for the queries. */
  private addNorm<T extends tf.Tensor>({ hidden, residual }: ResidualPair<T>): Normed<T> {
    const { weight, eps } = this.attention.normQuery;
    if (!residual) return { normed: this.attention.normQuery.forward(hidden), residual: tf.clone(hidden) };
    const { normed, sum } = addRmsNorm(hidden, residual, weight, { eps });
    return { normed, residual: sum };
  }

  /** Keys and values of every slot: (B, M, k·D) → (B, M, k, H, hd). */
  private slotsOf(chunks: tf.Tensor3D): { k: tf.Tensor5D; v: tf.Tensor5D } {
    const [B, M] = chunks.shape;
    checkShape('CrossAttentionBlock', chunks, 'ctx.memory.chunks', `(B, M, ${this.slotsPerChunk * this.dModel})`, {}, 'float32');
    return this.attention.keysValues(tf.reshape(chunks, [B, M, this.slotsPerChunk, this.dModel])) as { k: tf.Tensor5D; v: tf.Tensor5D };
  }

  private joinSlots(x: tf.Tensor5D): tf.Tensor4D {
    const [B, M, S, H, P] = x.shape;
    return tf.reshape(x, [B, M * S, H, P]);
  }
}

/** A type alias, not an interface: `tf.tidy` accepts only those as results. */
type Normed<T extends tf.Tensor> = { normed: T; residual: T };
type Stepped = { hidden: tf.Tensor2D; residual: tf.Tensor2D };

function memoryOf(ctx: SequenceContext): ChunkMemory {
  if (!ctx.memory) throw new DataError('[CrossAttentionBlock] `ctx.memory` is missing. Hint: such blocks belong into the decoder of a HierarchicalStage, which sets it.');
  return ctx.memory;
}

/** The chunk that each byte sees when the remembered one stands in front of those of the piece: (B, L) int32. */
function visibleFromState({ batch, length, boundaryMask }: Segmentation, remembered: Int32Array): tf.Tensor2D {
  const ids = new Int32Array(batch * length);
  for (let b = 0; b < batch; b++)
    for (let t = 0, n = remembered[b]! > 0 ? 0 : -1, seen = 0; t < length; t++) {
      if (boundaryMask[b * length + t]) n = ++seen;
      ids[b * length + t] = n;
    }
  return tf.tensor2d(ids, [batch, length], 'int32');
}
