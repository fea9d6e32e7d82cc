import {
  addRmsNorm,
  Module,
  rmsNorm,
  type AddedPair,
  type HasParameters,
  type OnDevice,
  type ResidualBlock,
  type ResidualPair,
  type Rng,
  type SequenceContext,
} from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import type { Mamba2Config } from '../config.js';
import { Mamba2, type Mamba2State } from './mamba2.js';
import { blockOnDevice } from './on-device.js';
import { tidy } from './tidy.js';

/** Any position-wise layer; the block lends it the names under `mlp`. */
export interface PositionWise extends HasParameters {
  forward<T extends tf.Tensor>(x: T): T;
}

export interface Mamba2BlockConfig extends Mamba2Config {
  /** Second half of the block, e.g. a SwiGLU. Default: none. */
  mlp?: PositionWise | undefined;
  /** Key of the first norm, `norm1` in H-Net, `norm` in the language models of state-spaces. */
  normName?: string | undefined;
}

/**
 * Pre-norm block: `residual += hidden; hidden = mixer(rmsNorm(residual))`, and with an MLP
 * `residual += hidden; hidden = mlp(rmsNorm(residual))`.
 * Keys: `norm1.weight`, `mixer.…`, `norm2.weight`, `mlp.…`.
 */
export class Mamba2Block extends Module implements ResidualBlock<Mamba2State> {
  readonly dModel: number;
  readonly mixer: Mamba2;
  readonly mlp: PositionWise | undefined;
  readonly additions: 1 | 2;
  readonly norm1: tf.Variable;
  readonly norm2: tf.Variable | undefined;
  readonly onDevice: OnDevice<ResidualPair<tf.Tensor2D>, AddedPair<tf.Tensor2D>, Mamba2State>;

  constructor({ mlp, normName = 'norm1', ...config }: Mamba2BlockConfig, rng?: Rng) {
    super();
    this.mixer = new Mamba2(config, rng?.fork('mixer'));
    this.dModel = this.mixer.dModel;
    this.additions = mlp ? 2 : 1;
    this.norm1 = this.addParameter(`${normName}.weight`, tf.ones([this.dModel]));
    this.addModule('mixer', this.mixer);
    if (mlp) {
      this.norm2 = this.addParameter('norm2.weight', tf.ones([this.dModel]));
      this.mlp = this.addModule('mlp', mlp);
    }
    this.onDevice = blockOnDevice(this.mixer, this.norm1, (pair) => this.second(pair));
  }

  forward(pair: ResidualPair, ctx: SequenceContext): AddedPair {
    return tidy(() => {
      const { normed, sum } = this.addNorm(pair, this.norm1);
      return this.second({ hidden: this.mixer.forward(normed, ctx), residual: sum });
    });
  }

  initState(batchSize: number): Mamba2State {
    return this.mixer.initState(batchSize);
  }

  prefill(pair: ResidualPair, state: Mamba2State, ctx: SequenceContext): AddedPair & { state: Mamba2State } {
    return tidy(() => {
      const { normed, sum } = this.addNorm(pair, this.norm1);
      const { y, state: next } = this.mixer.prefill(normed, state, ctx);
      return { ...this.second({ hidden: y, residual: sum }), state: next };
    });
  }

  step(pair: ResidualPair<tf.Tensor2D>, state: Mamba2State, rows?: readonly number[]): AddedPair<tf.Tensor2D> & { state: Mamba2State } {
    const { y, sum, state: next } = this.mixer.stepBlock({ ...pair, norm: this.norm1 }, state, rows);
    if (!this.mlp) return { hidden: y, residual: sum!, state: next };
    const out = tidy(() => this.second({ hidden: y, residual: sum! }));
    tf.dispose([y, sum!]);
    return { ...out, state: next };
  }

  startDocument(state: Mamba2State, rows: readonly number[]): Mamba2State {
    return this.mixer.startDocument(state, rows);
  }

  private addNorm<T extends tf.Tensor>({ hidden, residual }: ResidualPair<T>, weight: tf.Variable): { normed: T; sum: T } {
    const { eps } = this.mixer.config;
    if (residual) return addRmsNorm(hidden, residual, weight, { eps });
    return { normed: rmsNorm(hidden, weight, { eps }), sum: tf.clone(hidden) };
  }

  private second<T extends tf.Tensor>(pair: AddedPair<T>): AddedPair<T> {
    if (!this.mlp || !this.norm2) return pair;
    const { normed, sum } = this.addNorm(pair, this.norm2);
    return { hidden: this.mlp.forward(normed), residual: sum };
  }
}
