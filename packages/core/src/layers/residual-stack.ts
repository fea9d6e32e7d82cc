import * as tf from '@tensorflow/tfjs-core';
import type { AddedPair, ResidualBlock, ResidualPair } from '../contracts/residual-block.js';
import type { OnDevice } from '../contracts/on-device.js';
import type { SequenceContext } from '../contracts/sequence-context.js';
import { ConfigError } from '../errors.js';
import { Module } from '../module/module.js';
import { hostTensor, hostValues } from '../op/host-view.js';
import { addRmsNorm, rmsNorm } from '../ops/norm.js';
import { checkDepths, type LayeredModel } from './layered-model.js';
import { stackOnDevice } from './stack-on-device.js';

export interface ResidualStackState {
  layers: unknown[];
}

export interface ResidualStackOptions {
  names?: {
    /** Prefix of the blocks, or the full name of each. Default 'layers'. */
    layers?: string | readonly string[];
    /** Default 'rmsnorm'; `false`: the stack ends without a norm. */
    norm?: string | false;
  };
  /** Default 1e-5. */
  eps?: number;
}

/**
 * Pre-norm blocks of any kinds over one float32 residual stream, and a norm at the end:
 *
 *     residual = 0; hidden = x
 *     for block: residual, hidden = block(residual, hidden)
 *     y = rmsnorm(residual + hidden)
 *
 * Keys: `layers.{i}.…`, `rmsnorm.weight` (or the names given). Without the norm: y = residual + hidden.
 */
export class ResidualStack extends Module implements LayeredModel<ResidualStackState> {
  readonly dModel: number;
  readonly blocks: readonly ResidualBlock[];
  readonly normWeight: tf.Variable | undefined;
  readonly eps: number;
  /** How often the stack adds to its residual stream; initialisations depend on it. */
  readonly additions: number;

  /** Where all blocks have it. */
  readonly rollback?: (state: ResidualStackState, rows: readonly number[], steps: readonly number[]) => ResidualStackState;
  readonly remember?: (chunks: tf.Tensor2D, state: ResidualStackState, rows: readonly number[]) => ResidualStackState;
  readonly onDevice: OnDevice<tf.Tensor2D, tf.Tensor2D, ResidualStackState> | undefined;

  constructor(blocks: readonly ResidualBlock[], options: ResidualStackOptions = {}) {
    super();
    const first = blocks[0];
    if (!first) throw new ConfigError('[ResidualStack] no blocks. Hint: a stack has at least one.');
    const odd = blocks.findIndex((b) => b.dModel !== first.dModel);
    if (odd >= 0) throw new ConfigError(`[ResidualStack] block ${odd} has width ${blocks[odd]!.dModel}, block 0 has ${first.dModel}.`);
    const { layers = 'layers', norm = 'rmsnorm' } = options.names ?? {};
    this.dModel = first.dModel;
    this.eps = options.eps ?? 1e-5;
    this.blocks = blocks.map((b, i) => this.addModule(typeof layers === 'string' ? `${layers}.${i}` : layers[i]!, b));
    if (norm) this.normWeight = this.addParameter(`${norm}.weight`, tf.ones([this.dModel]));
    if (blocks.every((b) => b.rollback)) this.rollback = (state, rows, steps) => this.each(state, (block, s) => block.rollback!(s, rows, steps));
    if (blocks.some((b) => b.remember)) {
      this.remember = (chunks, state, rows) => this.each(state, (block, s) => (block.remember ? block.remember(chunks, s, rows) : s));
    }
    this.onDevice = stackOnDevice(blocks, (pair) => this.norm(pair));
    this.additions = blocks.reduce((n, b) => n + b.additions, 0);
  }

  forward(x: tf.Tensor3D, ctx: SequenceContext): tf.Tensor3D {
    return tf.tidy(() => {
      let pair: ResidualPair = { hidden: x };
      for (const block of this.blocks) pair = block.forward(pair, ctx);
      return this.norm(pair as AddedPair);
    });
  }

  get numBlocks(): number {
    return this.blocks.length;
  }

  streams(x: tf.Tensor3D, ctx: SequenceContext, depths: readonly number[]): tf.Tensor3D[] {
    checkDepths(depths, this.numBlocks);
    return tf.tidy(() => {
      const at = new Map<number, tf.Tensor3D>([[0, x]]);
      let pair: ResidualPair = { hidden: x };
      for (let n = 1; n <= Math.max(...depths); n++) {
        pair = this.blocks[n - 1]!.forward(pair, ctx);
        if (depths.includes(n)) at.set(n, tf.add(pair.hidden, pair.residual!));
      }
      return depths.map((n) => tf.clone(at.get(n)!));
    });
  }

  fromStream(stream: tf.Tensor3D): tf.Tensor3D {
    return tf.tidy(() => (this.normWeight ? rmsNorm(stream, this.normWeight, { eps: this.eps }) : tf.clone(stream)));
  }

  initState(batchSize: number): ResidualStackState {
    return { layers: this.blocks.map((b) => b.initState(batchSize)) };
  }

  prefill(x: tf.Tensor3D, state: ResidualStackState, ctx: SequenceContext): { y: tf.Tensor3D; state: ResidualStackState } {
    return this.run(x, state, (block, pair, s) => block.prefill(pair, s, ctx));
  }

  step(x: tf.Tensor2D, state: ResidualStackState, rows?: readonly number[]): { y: tf.Tensor2D; state: ResidualStackState } {
    return this.run(x, state, (block, pair, s, mayReuse) => block.step(pair, s, rows, mayReuse));
  }

  startDocument(state: ResidualStackState, rows: readonly number[]): ResidualStackState {
    return this.each(state, (block, s) => block.startDocument(s, rows));
  }

  private each(state: ResidualStackState, change: (block: ResidualBlock, state: unknown) => unknown): ResidualStackState {
    return { layers: this.blocks.map((b, i) => change(b, state.layers[i])) };
  }

  private run<T extends tf.Tensor>(
    x: T,
    state: ResidualStackState,
    apply: (block: ResidualBlock, pair: ResidualPair<T>, state: unknown, mayReuse: boolean) => AddedPair<T> & { state: unknown },
  ): { y: T; state: ResidualStackState } {
    const layers: unknown[] = [];
    let pair: ResidualPair<T> = { hidden: x };
    this.blocks.forEach((block, i) => {
      const next = apply(block, pair, state.layers[i], i > 0);
      if (i > 0) {
        if (next.hidden !== pair.hidden) pair.hidden.dispose();
        if (next.residual !== pair.residual) pair.residual!.dispose();
      }
      layers.push(next.state);
      pair = next;
    });
    const y = this.end(pair as AddedPair<T>);
    pair.hidden.dispose();
    pair.residual!.dispose();
    return { y, state: { layers } };
  }

  /** `norm` outside of gradients; a sum of two short rows is a loop. */
  private end<T extends tf.Tensor>(pair: AddedPair<T>): T {
    const { hidden, residual } = pair;
    const sum =
      !this.normWeight &&
      hostTensor<T>(hidden.shape, (out) => {
        const [a, b] = [hostValues(hidden)!, hostValues(residual)!];
        for (let i = 0; i < out.length; i++) out[i] = a[i]! + b[i]!;
      });
    return sum || tf.tidy(() => this.norm(pair));
  }

  private norm<T extends tf.Tensor>({ hidden, residual }: AddedPair<T>): T {
    if (!this.normWeight) return tf.add(residual, hidden);
    return addRmsNorm(hidden, residual, this.normWeight, { eps: this.eps }).normed as T;
  }
}
