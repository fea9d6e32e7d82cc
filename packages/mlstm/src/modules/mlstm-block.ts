import { addRmsNorm, ConfigError, Module, rmsNorm, type AddedPair, type OnDevice, type ResidualBlock, type ResidualPair, type Rng, type SequenceContext } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import type { MLSTMConfig } from '../config.js';
import type { MLSTMState } from '../ops/mlstm.js';
import { tidy } from '../tidy.js';
import { GatedMlp } from './gated-mlp.js';
import { MLSTMLayer, type BlockParts } from './mlstm-layer.js';
import { blockOnDevice } from './on-device.js';

export interface MLSTMBlockConfig extends MLSTMConfig {
  /** Width F of the gated MLP [local_intermediate_size]; 0: none. Default 1.375 dModel, rounded up to a multiple of 8. */
  dIntermediate?: number | undefined;
  /** Of the block's own norms [rms_norm_eps], default 1e-6. */
  normEps?: number | undefined;
}

/**
 * Bolmo's local block: `residual += hidden; hidden = mlstm(rmsNorm(residual)); residual += hidden; hidden = mlp(rmsNorm(residual))`, the second half
 * only with an MLP.
 * Keys: `pre_xlstm_layernorm.weight`, `xlstm.…`, `pre_feedforward_layernorm.weight`, `mlp.{gate,up,down}_proj.weight`.
 * @source Minixhofer et al., arXiv 2512.15586 (`BolmoLocalLayer`).
 */
export class MLSTMBlock extends Module implements ResidualBlock<MLSTMState> {
  readonly dModel: number;
  readonly additions: 1 | 2;
  readonly eps: number;
  readonly norm1: tf.Variable;
  readonly layer: MLSTMLayer;
  readonly norm2: tf.Variable | undefined;
  readonly mlp: GatedMlp | undefined;
  readonly onDevice: OnDevice<ResidualPair<tf.Tensor2D>, AddedPair<tf.Tensor2D>, MLSTMState>;

  /** @throws ConfigError */
  constructor({ dIntermediate, normEps = 1e-6, ...config }: MLSTMBlockConfig, rng?: Rng) {
    super();
    const F = dIntermediate ?? Math.ceil((1.375 * config.dModel) / 8) * 8;
    if (!(Number.isInteger(F) && F >= 0)) throw new ConfigError(`[MLSTMBlock] dIntermediate: expected a whole number of at least 0, got ${F}.`);
    if (!(normEps > 0)) throw new ConfigError(`[MLSTMBlock] normEps: expected a positive number, got ${normEps}.`);
    this.layer = new MLSTMLayer(config, rng?.fork('xlstm'));
    this.dModel = this.layer.dModel;
    this.eps = normEps;
    this.additions = F ? 2 : 1;
    this.norm1 = this.addParameter('pre_xlstm_layernorm.weight', tf.ones([this.dModel]));
    this.addModule('xlstm', this.layer);
    if (F) {
      this.norm2 = this.addParameter('pre_feedforward_layernorm.weight', tf.ones([this.dModel]));
      this.mlp = this.addModule('mlp', new GatedMlp(this.dModel, F, rng?.fork('mlp')));
    }
    this.onDevice = blockOnDevice(this.layer, this.stepParts);
  }

  forward(pair: ResidualPair, ctx: SequenceContext): AddedPair {
    return tidy(() => {
      const { normed, sum } = this.addNorm(pair, this.norm1);
      return this.second({ hidden: this.layer.forward(normed, ctx), residual: sum });
    });
  }

  initState(batchSize: number): MLSTMState {
    return this.layer.initState(batchSize);
  }

  prefill(pair: ResidualPair, state: MLSTMState, ctx: SequenceContext): AddedPair & { state: MLSTMState } {
    return tidy(() => {
      const { normed, sum } = this.addNorm(pair, this.norm1);
      const { y, state: next } = this.layer.prefill(normed, state, ctx);
      return { ...this.second({ hidden: y, residual: sum }), state: next };
    });
  }

  step(pair: ResidualPair<tf.Tensor2D>, state: MLSTMState, rows?: readonly number[]): AddedPair<tf.Tensor2D> & { state: MLSTMState } {
    const { y, sum, state: next } = this.layer.stepBlock(pair, state, rows, this.stepParts);
    return { hidden: y, residual: sum!, state: next };
  }

  startDocument(state: MLSTMState, rows: readonly number[]): MLSTMState {
    return this.layer.startDocument(state, rows);
  }

  private get stepParts(): BlockParts {
    return { norm: this.norm1, eps: this.eps, second: this.mlp && { norm: this.norm2!, mlp: this.mlp } };
  }

  private addNorm({ hidden, residual }: ResidualPair, weight: tf.Variable): { normed: tf.Tensor3D; sum: tf.Tensor3D } {
    if (residual) return addRmsNorm(hidden, residual, weight, { eps: this.eps });
    return { normed: rmsNorm(hidden, weight, { eps: this.eps }), sum: tf.clone(hidden) };
  }

  private second(pair: AddedPair): AddedPair {
    if (!this.mlp || !this.norm2) return pair;
    const { normed, sum } = this.addNorm(pair, this.norm2);
    return { hidden: this.mlp.forward(normed), residual: sum };
  }
}
