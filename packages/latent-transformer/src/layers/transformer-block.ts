import * as tf from '@tensorflow/tfjs-core';
import { addRmsNorm, checkShape, Module, RMSNorm, type AddedPair, type ResidualBlock, type ResidualPair, type Rng, type SequenceContext, type WasmHeap } from '@bytelm/core';
import { inPlaceHeap } from '../kernels/cache-rows.js';
import { transformerStepWasm } from '../kernels/transformer-step/wasm.js';
import type { KvCacheState } from '../kv-cache.js';
import { SelfAttention, type SelfAttentionConfig } from './self-attention.js';
import { SwiGLU, type SwiGLUOrder } from './swiglu.js';

export interface TransformerBlockConfig extends SelfAttentionConfig {
  /** Width of the MLP before rounding; 0 (default): no MLP. */
  dIntermediate?: number;
  /** The MLP's width is rounded up to a multiple of this. Default 1 (H-Net: 128). */
  multipleOf?: number;
  swigluOrder?: SwiGLUOrder;
  /** Default 1e-5. */
  normEps?: number;
}

/**
 * Pre-norm transformer block over a (hidden, residual) pair:
 * `residual += hidden; hidden = mixer(norm1(residual)); residual += hidden; hidden = mlp(norm2(residual))`, the second half only with an MLP.
 *
 * Keys: `norm1.weight`, `mixer.Wqkv.weight`, `mixer.out_proj.weight`, `norm2.weight`, `mlp.fc1.weight`, `mlp.fc2.weight`.
 * @source goombalab/hnet (`block.py`), letters T (with MLP) and t.
 */
export class TransformerBlock extends Module implements ResidualBlock<KvCacheState> {
  readonly dModel: number;
  readonly additions: 1 | 2;
  readonly norm1: RMSNorm;
  readonly mixer: SelfAttention;
  readonly norm2: RMSNorm | undefined;
  readonly mlp: SwiGLU | undefined;

  /** @throws ConfigError */
  constructor(config: TransformerBlockConfig, rng?: Rng) {
    super();
    const { dModel, dIntermediate = 0, multipleOf = 1, swigluOrder = 'value-gate', normEps = 1e-5, bias = false, initStd = 0.02, outInitStd = initStd } = config;
    this.dModel = dModel;
    this.norm1 = this.addModule('norm1', new RMSNorm(dModel, normEps));
    this.mixer = this.addModule('mixer', new SelfAttention(config, rng?.fork('mixer')));
    if (dIntermediate > 0) {
      this.norm2 = this.addModule('norm2', new RMSNorm(dModel, normEps));
      this.mlp = this.addModule('mlp', new SwiGLU({ dModel, dIntermediate, multipleOf, order: swigluOrder, bias, initStd, outInitStd }, rng?.fork('mlp')));
    }
    this.additions = this.mlp ? 2 : 1;
  }

  forward(pair: ResidualPair, ctx: SequenceContext): AddedPair {
    checkShape('TransformerBlock.forward', pair.hidden, 'hidden', `(${ctx.batch}, ${ctx.length}, ${this.dModel})`, {}, 'float32');
    return tf.tidy(() => {
      const { y, residual } = addNorm(pair, this.norm1);
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

  step(pair: ResidualPair<tf.Tensor2D>, state: KvCacheState, rows?: readonly number[]): AddedPair<tf.Tensor2D> & { state: KvCacheState } {
    const heap = inPlaceHeap();
    return heap ? this.fusedStep(heap, pair, state, rows) : this.around(pair, (x) => this.mixer.step(x, state, rows));
  }

  /** The same in one call of a wasm kernel. */
  private fusedStep(heap: WasmHeap, pair: ResidualPair<tf.Tensor2D>, before: KvCacheState, rows: readonly number[] | undefined): AddedPair<tf.Tensor2D> & { state: KvCacheState } {
    const { mixer, mlp } = this;
    const R = pair.hidden.shape[0];
    const expected = rows?.length ?? before.lengths.length;
    this.checkRows(pair.hidden, 'hidden', expected);
    if (pair.residual) this.checkRows(pair.residual, 'residual', expected);
    const { state, positions, slots, counts } = mixer.cache.claim(before, rows);
    const tables = mixer.rotary?.tables(Math.max(0, ...positions) + 1);
    const output = () => tf.engine().makeTensorFromTensorInfo(heap.output([R, this.dModel])) as tf.Tensor2D;
    const out = { hidden: output(), residual: output() };
    transformerStepWasm(
      heap,
      {
        hidden: pair.hidden,
        residual: pair.residual,
        k: state.k,
        v: state.v,
        heads: mixer.numHeads,
        cos: tables?.cos,
        sin: tables?.sin,
        interleaved: mixer.rotary?.config.interleaved ?? false,
        scale: mixer.scale,
        eps: this.norm1.eps,
        intermediate: mlp?.dIntermediate ?? 0,
        gateFirst: mlp?.order === 'gate-value',
        norm1: this.norm1.weight,
        qkv: mixer.Wqkv,
        out: mixer.outProj,
        norm2: this.norm2?.weight,
        fc1: mlp?.fc1,
        fc2: mlp?.fc2,
        cacheRows: rows ?? positions.map((_, i) => i),
        positions,
        slots,
        counts,
      },
      out,
    );
    return { ...out, state };
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
    const normed = tf.tidy(() => addNorm(pair, this.norm1));
    const { y, state } = mix(normed.y);
    const out = tf.tidy(() => this.finish(y, normed.residual));
    tf.dispose([normed.y, y]);
    if (out.residual !== normed.residual) normed.residual.dispose();
    return { ...out, state };
  }

  private finish<T extends tf.Tensor>(hidden: T, residual: T): Pair<'hidden' | 'residual', T> {
    if (!this.mlp) return { hidden: tf.clone(hidden), residual };
    const second = addNorm({ hidden, residual }, this.norm2!);
    return { hidden: this.mlp.forward(second.y), residual: second.residual };
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
