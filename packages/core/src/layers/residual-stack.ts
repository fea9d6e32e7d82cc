import * as tf from '@tensorflow/tfjs-core';
import type { AddedPair, ResidualBlock, ResidualPair } from '../contracts/residual-block.js';
import type { SequenceModel } from '../contracts/index.js';
import type { SequenceContext } from '../contracts/sequence-context.js';
import { ConfigError } from '../errors.js';
import { Module } from '../module/module.js';
import { addRmsNorm } from '../ops/norm.js';

export interface ResidualStackState {
  layers: unknown[];
}

/**
 * Pre-norm blocks of any kinds over one float32 residual stream, and a norm at the end:
 *
 *     residual = 0; hidden = x
 *     for block: residual, hidden = block(residual, hidden)
 *     y = rmsnorm(residual + hidden)
 *
 * Keys: `layers.{i}.…`, `rmsnorm.weight` (or the names given).
 */
export class ResidualStack extends Module implements SequenceModel<ResidualStackState> {
  readonly dModel: number;
  readonly blocks: readonly ResidualBlock[];
  readonly normWeight: tf.Variable;
  readonly eps: number;
  /** How often the stack adds to its residual stream; initialisations depend on it. */
  readonly additions: number;

  constructor(blocks: readonly ResidualBlock[], options: { names?: { layers?: string; norm?: string }; eps?: number } = {}) {
    super();
    const first = blocks[0];
    if (!first) throw new ConfigError('[ResidualStack] no blocks. Hint: a stack has at least one.');
    const odd = blocks.findIndex((b) => b.dModel !== first.dModel);
    if (odd >= 0) throw new ConfigError(`[ResidualStack] block ${odd} has width ${blocks[odd]!.dModel}, block 0 has ${first.dModel}.`);
    const { layers = 'layers', norm = 'rmsnorm' } = options.names ?? {};
    this.dModel = first.dModel;
    this.eps = options.eps ?? 1e-5;
    this.blocks = blocks.map((b, i) => this.addModule(`${layers}.${i}`, b));
    this.normWeight = this.addParameter(`${norm}.weight`, tf.ones([this.dModel]));
    this.additions = blocks.reduce((n, b) => n + b.additions, 0);
  }

  forward(x: tf.Tensor3D, ctx: SequenceContext): tf.Tensor3D {
    return tf.tidy(() => {
      let pair: ResidualPair = { hidden: x };
      for (const block of this.blocks) pair = block.forward(pair, ctx);
      return this.norm(pair as AddedPair);
    });
  }

  initState(batchSize: number): ResidualStackState {
    return { layers: this.blocks.map((b) => b.initState(batchSize)) };
  }

  prefill(x: tf.Tensor3D, state: ResidualStackState, ctx: SequenceContext): { y: tf.Tensor3D; state: ResidualStackState } {
    return this.run(x, state, (block, pair, s) => block.prefill(pair, s, ctx));
  }

  step(x: tf.Tensor2D, state: ResidualStackState, rows?: readonly number[]): { y: tf.Tensor2D; state: ResidualStackState } {
    return this.run(x, state, (block, pair, s) => block.step(pair, s, rows));
  }

  private run<T extends tf.Tensor>(
    x: T,
    state: ResidualStackState,
    apply: (block: ResidualBlock, pair: ResidualPair<T>, state: unknown) => AddedPair<T> & { state: unknown },
  ): { y: T; state: ResidualStackState } {
    const layers: unknown[] = [];
    let pair: ResidualPair<T> = { hidden: x };
    this.blocks.forEach((block, i) => {
      const next = apply(block, pair, state.layers[i]);
      if (i > 0) tf.dispose([pair.hidden, pair.residual!]);
      layers.push(next.state);
      pair = next;
    });
    const y = tf.tidy(() => this.norm(pair as AddedPair<T>));
    tf.dispose([pair.hidden, pair.residual!]);
    return { y, state: { layers } };
  }

  private norm<T extends tf.Tensor>({ hidden, residual }: AddedPair<T>): T {
    return addRmsNorm(hidden, residual, this.normWeight, { eps: this.eps }).normed as T;
  }
}
