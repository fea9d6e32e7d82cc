import * as tf from '@tensorflow/tfjs-core';
import { Linear, Module, RMSNorm, splitLast, type Rng } from '@bytelm/core';
import type { RotaryEmbedding } from '../rotary-embedding.js';
import type { AttentionNames } from './names.js';

/** RMS norms of queries and keys before their rotation: over all heads together (OLMo 2), or over each head with one weight for all (Qwen 3). */
export type QkNorm = 'all-heads' | 'per-head';

export interface QkvProjectionConfig {
  dModel: number;
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  names: AttentionNames;
  bias: boolean;
  qkNorm: QkNorm | undefined;
  normEps: number;
  initStd: number;
  initCut?: number | undefined;
}

/** Where positions lie: (B, T) int32 with the largest one, or the position of index 0. */
export type PositionsAt = number | { positions: tf.Tensor2D; max: number };

export interface Heads {
  /** (B, T, H, headDim) */
  q: tf.Tensor4D;
  /** (B, T, Hkv, headDim) */
  k: tf.Tensor4D;
  v: tf.Tensor4D;
}

/** Queries, keys and values of an attention layer: projected by one matrix or by three, normed, rotated. */
export class QkvProjection extends Module {
  readonly config: Readonly<QkvProjectionConfig>;
  /** One for all, rows q, then k, then v, each head after head; or one for each. */
  readonly linears: readonly [Linear] | readonly [Linear, Linear, Linear];
  readonly qNorm: RMSNorm | undefined;
  readonly kNorm: RMSNorm | undefined;
  /** Widths of q, k and v. */
  readonly widths: readonly [number, number, number];

  constructor(config: QkvProjectionConfig, rng?: Rng) {
    super();
    this.config = config;
    const { dModel, numHeads, numKvHeads, headDim, names, bias, initStd, initCut, qkNorm, normEps } = config;
    const [qDim, kvDim] = [numHeads * headDim, numKvHeads * headDim];
    this.widths = [qDim, kvDim, kvDim];
    const linear = (name: string, outFeatures: number) =>
      this.addModule(name, new Linear({ inFeatures: dModel, outFeatures, bias, initStd, initCut }, rng?.fork(name)));
    this.linears = 'qkv' in names ? [linear(names.qkv, qDim + 2 * kvDim)] : [linear(names.q, qDim), linear(names.k, kvDim), linear(names.v, kvDim)];
    if (qkNorm) {
      const width = (all: number) => (qkNorm === 'per-head' ? headDim : all);
      this.qNorm = this.addModule(names.qNorm ?? 'q_norm', new RMSNorm(width(qDim), normEps));
      this.kNorm = this.addModule(names.kNorm ?? 'k_norm', new RMSNorm(width(kvDim), normEps));
    }
  }

  /** @param x (B, T, dModel) */
  forward(x: tf.Tensor3D, rotary: RotaryEmbedding | undefined, at: PositionsAt): Heads {
    const { linears, widths } = this;
    if (linears.length === 1 && !this.qNorm && rotary) return this.turnTogether(x, rotary, at);
    const [q, k, v] = linears.length === 1 ? splitLast(linears[0].forward(x), widths) : linears.map((l) => l.forward(x));
    const ready = (t: tf.Tensor, norm: RMSNorm | undefined) => {
      const normed = this.heads(norm && this.config.qkNorm === 'all-heads' ? norm.forward(t) : t);
      const each = norm && this.config.qkNorm === 'per-head' ? norm.forward(normed) : normed;
      return rotary ? rotary.apply(each, at) : each;
    };
    return { q: ready(q!, this.qNorm), k: ready(k!, this.kNorm), v: this.heads(v!) };
  }

  /** Queries and keys of one matrix are neighbours and turn alike: one rotation for both. */
  private turnTogether(x: tf.Tensor3D, rotary: RotaryEmbedding, at: PositionsAt): Heads {
    const [qDim, kvDim] = this.widths;
    const [qk, v] = splitLast(this.linears[0].forward(x), [qDim + kvDim, kvDim]) as [tf.Tensor, tf.Tensor];
    const turned = tf.reshape(rotary.apply(this.heads(qk), at), qk.shape);
    const [q, k] = splitLast(turned, [qDim, kvDim]) as [tf.Tensor, tf.Tensor];
    return { q: this.heads(q), k: this.heads(k), v: this.heads(v) };
  }

  /** (B, T, heads * headDim) → (B, T, heads, headDim). */
  private heads(t: tf.Tensor): tf.Tensor4D {
    const [B, T, width] = t.shape as [number, number, number];
    return tf.reshape(t, [B, T, width / this.config.headDim, this.config.headDim]);
  }
}
