import * as tf from '@tensorflow/tfjs-core';
import { addRmsNorm, checkShape, ConfigError, Module, RMSNorm, type AddedPair, type OnDevice, type ResidualBlock, type ResidualPair, type Rng, type SequenceContext } from '@bytelm/core';
import { inPlaceHeap, isOwnOnWebGpu } from '../kernels/cache-rows.js';
import { transformerStepWasm, type TransformerStepBlock, type TransformerStepCall } from '../kernels/transformer-step/wasm.js';
import { outputPair } from '../kernels/step-rows.js';
import { canStepOnWebGpu, transformerStepWebGpu } from '../kernels/transformer-step/webgpu.js';
import type { KvCacheState } from '../kv-cache.js';
import { blockOnDevice } from './block-on-device.js';
import { SelfAttention, type SelfAttentionConfig } from './self-attention.js';
import { TRANSFORMER_NAMES, type TransformerLayout, type TransformerNames } from './names.js';
import { SwiGLU, type SwiGLUOrder } from './swiglu.js';

export interface TransformerBlockConfig extends Omit<SelfAttentionConfig, 'projections'> {
  /** Names of the parameters, and with them whether projections are fused. Default 'hnet'. */
  names?: TransformerLayout | TransformerNames;
  /** Norms before attention and MLP, or (OLMo 2 and 3) after them, before they are added. Default 'pre', with `names: 'olmo'` 'post'. */
  normPlacement?: 'pre' | 'post';
  /** Width of the MLP before rounding; 0 (default): no MLP. */
  dIntermediate?: number;
  /** The MLP's width is rounded up to a multiple of this. Default 1 (H-Net: 128). */
  multipleOf?: number;
  swigluOrder?: SwiGLUOrder;
  /** Standard deviation of the MLP's last matrix. Default `outInitStd`. */
  downInitStd?: number;
}

/**
 * Transformer block over a (hidden, residual) pair:
 * `residual += hidden; hidden = mixer(norm1(residual)); residual += hidden; hidden = mlp(norm2(residual))`, the second half only with an
 * MLP. With `normPlacement: 'post'` the norms stand behind: `hidden = norm1(mixer(residual))`, `hidden = norm2(mlp(residual))`.
 *
 * Keys by `names`: `norm1.weight`, `mixer.Wqkv.weight`, `mixer.out_proj.weight`, `norm2.weight`, `mlp.fc1.weight`, `mlp.fc2.weight`, or
 * those of another of `TRANSFORMER_NAMES`.
 * @source goombalab/hnet (`block.py`), letters T (with MLP) and t; Llama; OLMo 2 (arXiv 2501.00656).
 */
export class TransformerBlock extends Module implements ResidualBlock<KvCacheState> {
  readonly dModel: number;
  readonly additions: 1 | 2;
  readonly postNorm: boolean;
  readonly norm1: RMSNorm;
  readonly mixer: SelfAttention;
  readonly norm2: RMSNorm | undefined;
  readonly mlp: SwiGLU | undefined;
  readonly onDevice: OnDevice<ResidualPair<tf.Tensor2D>, AddedPair<tf.Tensor2D>, KvCacheState>;
  /** How the matrices are kept; odd widths cannot be packed. */
  readonly matrices: 'plain' | 'packed' | 'mixed';

  /** @throws ConfigError */
  constructor(config: TransformerBlockConfig, rng?: Rng) {
    super();
    const { names: layout = 'hnet', dModel, dIntermediate = 0, multipleOf = 1, swigluOrder = 'value-gate', normEps = 1e-5, bias = false, initStd = 0.02, outInitStd = initStd, initCut } = config;
    const names: TransformerNames | undefined = typeof layout === 'string' ? TRANSFORMER_NAMES[layout] : layout;
    const { normPlacement = layout === 'olmo' ? 'post' : 'pre' } = config;
    if (!names) throw new ConfigError(`[TransformerBlock] names: expected one of ${Object.keys(TRANSFORMER_NAMES).join(', ')} or a table of names, got ${JSON.stringify(layout)}.`);
    if (normPlacement !== 'pre' && normPlacement !== 'post') throw new ConfigError(`[TransformerBlock] normPlacement: expected 'pre' or 'post', got ${JSON.stringify(normPlacement)}.`);
    this.dModel = dModel;
    this.postNorm = normPlacement === 'post';
    this.norm1 = this.addModule(names.norm1, new RMSNorm(dModel, normEps));
    this.mixer = this.addModule(names.mixer, new SelfAttention({ ...config, projections: names.attention }, rng?.fork('mixer')));
    if (dIntermediate > 0) {
      const mlp = { dModel, dIntermediate, multipleOf, projections: names.swiglu, order: swigluOrder, bias, initStd, outInitStd: config.downInitStd ?? outInitStd, initCut };
      this.norm2 = this.addModule(names.norm2, new RMSNorm(dModel, normEps));
      this.mlp = this.addModule(names.mlp, new SwiGLU(mlp, rng?.fork('mlp')));
    }
    this.additions = this.mlp ? 2 : 1;
    const packed = [...this.mixer.projection.linears, this.mixer.outProj, ...(this.mlp ? [...this.mlp.inputs, this.mlp.down] : [])].map((m) => m.packed !== undefined);
    this.matrices = packed.every((p) => p) ? 'packed' : packed.some((p) => p) ? 'mixed' : 'plain';
    this.onDevice = blockOnDevice(this);
  }

  forward(pair: ResidualPair, ctx: SequenceContext): AddedPair {
    checkShape('TransformerBlock.forward', pair.hidden, 'hidden', `(${ctx.batch}, ${ctx.length}, ${this.dModel})`, {}, 'float32');
    return tf.tidy(() => {
      const { y, residual } = this.enter(pair, this.norm1);
      return this.finish(this.mixer.forward(y, ctx), residual);
    });
  }

  initState(batchSize: number): KvCacheState {
    return this.mixer.initState(batchSize);
  }

  prefill(pair: ResidualPair, state: KvCacheState, ctx: SequenceContext): AddedPair & { state: KvCacheState } {
    checkShape('TransformerBlock.prefill', pair.hidden, 'hidden', `(${state.lengths.length}, ${ctx.length}, ${this.dModel})`, {}, 'float32');
    return this.around(pair, (x) => this.mixer.prefill(x, state, ctx));
  }

  startDocument(state: KvCacheState, rows: readonly number[]): KvCacheState {
    return this.mixer.startDocument(state, rows);
  }

  /** Takes back the last `steps[i]` positions of `rows[i]`. @throws DataError when a window's ring no longer holds what is needed. */
  rollback(state: KvCacheState, rows: readonly number[], steps: readonly number[]): KvCacheState {
    return this.mixer.rollback(state, rows, steps);
  }

  step(pair: ResidualPair<tf.Tensor2D>, state: KvCacheState, rows?: readonly number[], mayReuse?: boolean): AddedPair<tf.Tensor2D> & { state: KvCacheState } {
    const heap = this.matrices === 'mixed' ? null : inPlaceHeap();
    if (heap) {
      const { call, state: next } = this.stepCall(pair, state, rows);
      const out = outputPair(heap, pair, mayReuse);
      transformerStepWasm(heap, call, out);
      return { ...out, state: next };
    }
    if (this.matrices === 'plain' && isOwnOnWebGpu(state.k, state.v) && canStepOnWebGpu(pair.hidden.shape[0], this.mixer)) {
      const { call, state: next } = this.stepCall(pair, state, rows);
      return { ...transformerStepWebGpu(call), state: next };
    }
    return this.around(pair, (x) => this.mixer.step(x, state, rows));
  }

  /** All that a fused step needs, and the state with room for the new position. */
  private stepCall(pair: ResidualPair<tf.Tensor2D>, before: KvCacheState, rows: readonly number[] | undefined): { call: TransformerStepCall; state: KvCacheState } {
    const { mixer } = this;
    const expected = rows?.length ?? before.lengths.length;
    this.checkRows(pair.hidden, 'hidden', expected);
    if (pair.residual) this.checkRows(pair.residual, 'residual', expected);
    const { state, positions, slots, starts, counts } = mixer.cache.claim(before, rows);
    const tables = mixer.rotary?.tables(Math.max(0, ...positions) + 1);
    return { call: { ...this.stepParts(pair, state, tables), cacheRows: rows ?? positions.map((_, i) => i), positions, slots, starts, counts }, state };
  }

  /** What a fused step works on, but for the rows' places. @internal */
  stepParts({ hidden, residual }: ResidualPair<tf.Tensor2D>, { k, v }: Pick<KvCacheState, 'k' | 'v'>, tables: { cos: tf.Tensor2D; sin: tf.Tensor2D } | undefined): TransformerStepBlock {
    const { mixer, mlp } = this;
    return {
      hidden,
      residual,
      k,
      v,
      heads: mixer.numHeads,
      cos: tables?.cos,
      sin: tables?.sin,
      interleaved: mixer.rotary?.config.interleaved ?? false,
      scale: mixer.scale,
      eps: this.norm1.eps,
      intermediate: mlp?.dIntermediate ?? 0,
      gateFirst: mlp?.order === 'gate-value' || mlp?.inputs.length === 2,
      postNorm: this.postNorm,
      normPerHead: mixer.config.qkNorm === 'per-head',
      packed: this.matrices === 'packed',
      norm1: this.norm1.weight,
      qkv: mixer.projection.linears,
      qNorm: mixer.projection.qNorm?.weight,
      kNorm: mixer.projection.kNorm?.weight,
      out: mixer.outProj,
      norm2: this.norm2?.weight,
      gateUp: mlp?.inputs ?? [],
      down: mlp?.down,
    };
  }

  /** The shape check in its cheap form: a step of a small model takes no longer than a few of the thorough ones. */
  private checkRows(x: tf.Tensor2D, name: string, rows: number): void {
    const { shape, dtype } = x;
    if (shape.length !== 2 || shape[0] !== rows || shape[1] !== this.dModel || dtype !== 'float32') {
      checkShape('TransformerBlock.step', x, name, `(${rows}, ${this.dModel})`, {}, 'float32');
    }
  }

  /** Runs a mixer that consumes a state, outside of any `tidy` of ours: the state's tensors must live on. */
  private around<T extends tf.Tensor>(pair: ResidualPair<T>, mix: (x: T) => { y: T; state: KvCacheState }): AddedPair<T> & { state: KvCacheState } {
    const normed = tf.tidy(() => this.enter(pair, this.norm1));
    const { y, state } = mix(normed.y);
    const out = tf.tidy(() => this.finish(y, normed.residual));
    tf.dispose([normed.y, y]);
    if (out.residual !== normed.residual) normed.residual.dispose();
    return { ...out, state };
  }

  private finish<T extends tf.Tensor>(mixed: T, residual: T): Pair<'hidden' | 'residual', T> {
    const hidden = this.postNorm ? this.norm1.forward(mixed) : mixed;
    if (!this.mlp) return { hidden: tf.clone(hidden), residual };
    const second = this.enter({ hidden, residual }, this.norm2!);
    const out = this.mlp.forward(second.y);
    return { hidden: this.postNorm ? this.norm2!.forward(out) : out, residual: second.residual };
  }

  /** The pair added up, and what the coming branch reads of it. */
  private enter<T extends tf.Tensor>(pair: ResidualPair<T>, norm: RMSNorm): Pair<'y' | 'residual', T> {
    if (!this.postNorm) return addNorm(pair, norm);
    const residual = pair.residual ? (tf.add(pair.residual, pair.hidden) as T) : tf.clone(pair.hidden);
    return { y: tf.clone(residual), residual };
  }
}

/** A type alias, not an interface: `tf.tidy` accepts only those as results. */
type Pair<K extends string, T extends tf.Tensor> = { [key in K]: T };

/** The pair added up, and its norm. */
function addNorm<T extends tf.Tensor>({ hidden, residual }: ResidualPair<T>, norm: RMSNorm): Pair<'y' | 'residual', T> {
  if (!residual) return { y: norm.forward(hidden), residual: tf.clone(hidden) };
  const { normed, sum } = addRmsNorm(hidden, residual, norm.weight, { eps: norm.eps });
  return { y: normed, residual: sum };
}
