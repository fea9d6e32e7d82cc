import * as tf from '@tensorflow/tfjs-core';
import { checkShape, ConfigError, Linear, Module, RMSNorm, type Rng } from '@bytelm/core';
import { attention, type AttentionMask } from '../ops/attention.js';
import { poolAttention, slotAttention } from '../ops/patch-attention.js';

/** Parameter names of a cross-attention layer. */
export interface CrossAttentionNames {
  q: string;
  k: string;
  v: string;
  o: string;
  normQuery: string;
  normMemory: string;
}

/** Names in published checkpoints: BLT as Meta stores it (`meta`), and its port in transformers (`llama`). */
export const CROSS_ATTENTION_NAMES = {
  meta: { q: 'wq', k: 'wk', v: 'wv', o: 'wo', normQuery: 'cross_attn_norm_q', normMemory: 'cross_attn_norm_kv' },
  llama: { q: 'q_proj', k: 'k_proj', v: 'v_proj', o: 'o_proj', normQuery: 'q_norm', normMemory: 'k_norm' },
} as const satisfies Record<string, CrossAttentionNames>;

export interface CrossAttentionConfig {
  dModel: number;
  numHeads: number;
  /** Default 1e-5. */
  normEps?: number;
  /** Standard deviation of the initial weights. Default dModel^-½. */
  initStd?: number | undefined;
  /** The initial normal is cut at so many standard deviations. Default 3, as published. */
  initCut?: number;
  /** Names of the parameters. Default 'meta'. */
  names?: keyof typeof CROSS_ATTENTION_NAMES | CrossAttentionNames;
}

/**
 * Attention of queries to a memory of the same width, both normalized first; keys and values share one norm. No rotation, no grouped heads,
 * no residual: `Wo · softmax(Q Kᵀ / √hd) V` with `Q = Wq·norm_q(x)`, `K, V = Wk/Wv·norm_kv(memory)`. A query without keys gives zeros.
 *
 * Keys: `cross_attn_norm_q.weight`, `cross_attn_norm_kv.weight` (D); `wq.weight`, `wk.weight`, `wv.weight`, `wo.weight` (D, D); or those of
 * other `names`.
 * @source arXiv 2412.09871, section 3.2.2; names and norms of facebookresearch/blt.
 */
export class CrossAttention extends Module {
  readonly config: Readonly<CrossAttentionConfig>;
  readonly dModel: number;
  readonly numHeads: number;
  readonly headDim: number;
  readonly scale: number;
  readonly normQuery: RMSNorm;
  readonly normMemory: RMSNorm;
  readonly wq: Linear;
  readonly wk: Linear;
  readonly wv: Linear;
  readonly wo: Linear;

  /** @throws ConfigError */
  constructor(config: CrossAttentionConfig, rng?: Rng) {
    super();
    const { dModel, numHeads, normEps = 1e-5, initStd = dModel ** -0.5, initCut = 3 } = config;
    if (!(Number.isInteger(numHeads) && numHeads > 0 && dModel % numHeads === 0)) {
      throw new ConfigError(`[CrossAttention] numHeads ${numHeads} does not divide dModel ${dModel}. Hint: 16 heads for a width of 1024.`);
    }
    this.config = config;
    this.dModel = dModel;
    this.numHeads = numHeads;
    this.headDim = dModel / numHeads;
    this.scale = 1 / Math.sqrt(this.headDim);
    const names = namesOf(config.names ?? 'meta');
    this.normQuery = this.addModule(names.normQuery, new RMSNorm(dModel, normEps));
    this.normMemory = this.addModule(names.normMemory, new RMSNorm(dModel, normEps));
    const square = (name: string) => this.addModule(name, new Linear({ inFeatures: dModel, outFeatures: dModel, bias: false, initStd, initCut }, rng?.fork(name)));
    this.wq = square(names.q);
    this.wk = square(names.k);
    this.wv = square(names.v);
    this.wo = square(names.o);
  }

  /**
   * The general form, whatever the mask: x (B, Tq, D) against memory (B, Tk, D) → (B, Tq, D), differentiable. The forms for patches, `pool` and
   * `read`, are equal to it and cost less.
   */
  forward(x: tf.Tensor3D, memory: tf.Tensor3D, mask: AttentionMask = {}): tf.Tensor3D {
    checkShape('CrossAttention.forward', x, 'x', `(B, Tq, ${this.dModel})`, {}, 'float32');
    checkShape('CrossAttention.forward', memory, 'memory', `(${x.shape[0]}, Tk, ${this.dModel})`, {}, 'float32');
    return tf.tidy(() => {
      const q = this.queries(this.normQuery.forward(x)) as tf.Tensor4D;
      const { k, v } = this.keysValues(memory) as { k: tf.Tensor4D; v: tf.Tensor4D };
      return this.output(attention(q, { k, v, mask, scale: this.scale }).y) as tf.Tensor3D;
    });
  }

  /** Bytes → patches: slots (B, M, S, D) attend to the keys and values of their patch's bytes, (B, L, H, hd); ids (B, L) as in `poolAttention`. */
  pool(slots: tf.Tensor4D, bytes: { k: tf.Tensor4D; v: tf.Tensor4D }, ids: tf.Tensor2D): tf.Tensor4D {
    const q = this.queries(this.normQuery.forward(slots)) as tf.Tensor5D;
    return this.output(poolAttention(q, { ...bytes, ids, scale: this.scale })) as tf.Tensor4D;
  }

  /** Patches → bytes: normalized bytes (B, L, D) attend to the slots of one patch, (B, M, S, H, hd); ids (B, L) as in `slotAttention`. */
  read(normed: tf.Tensor3D, slots: { k: tf.Tensor5D; v: tf.Tensor5D }, ids: tf.Tensor2D): tf.Tensor3D {
    return this.output(slotAttention(this.queries(normed) as tf.Tensor4D, { ...slots, ids, scale: this.scale })) as tf.Tensor3D;
  }

  /** Heads of normalized queries: (..., D) → (..., H, hd). */
  queries(normed: tf.Tensor): tf.Tensor {
    return this.heads(this.wq.forward(normed));
  }

  /** Keys and values of a memory: (..., D) → (..., H, hd). */
  keysValues(memory: tf.Tensor): { k: tf.Tensor; v: tf.Tensor } {
    const normed = this.normMemory.forward(memory);
    return { k: this.heads(this.wk.forward(normed)), v: this.heads(this.wv.forward(normed)) };
  }

  /** (..., H, hd) → (..., D). */
  output(y: tf.Tensor): tf.Tensor {
    return this.wo.forward(tf.reshape(y, [...y.shape.slice(0, -2), this.dModel]));
  }

  private heads(x: tf.Tensor): tf.Tensor {
    return tf.reshape(x, [...x.shape.slice(0, -1), this.numHeads, this.headDim]);
  }
}

function namesOf(names: NonNullable<CrossAttentionConfig['names']>): CrossAttentionNames {
  const found = typeof names === 'string' ? CROSS_ATTENTION_NAMES[names] : names;
  if (found) return found;
  throw new ConfigError(`[CrossAttention] names: expected one of ${Object.keys(CROSS_ATTENTION_NAMES).join(', ')} or a table of names, got ${JSON.stringify(names)}.`);
}
