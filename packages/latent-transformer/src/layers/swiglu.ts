import type * as tf from '@tensorflow/tfjs-core';
import { ConfigError, Linear, Module, splitSwiglu, swiglu, type Rng } from '@bytelm/core';
import { TRANSFORMER_NAMES, type SwiGLUNames } from './names.js';

/** Which half of `fc1`'s rows is which. H-Net's and Mamba's `fc1` put the value first. */
export type SwiGLUOrder = 'value-gate' | 'gate-value';

export interface SwiGLUConfig {
  dModel: number;
  /** F, before rounding. */
  dIntermediate: number;
  /** F is rounded up to a multiple of this (H-Net: 128). Default 1. */
  multipleOf?: number;
  /** Names of the parameters; two matrices for gate and value, or one for both. Default `{ gateUp: 'fc1', down: 'fc2' }`. */
  projections?: SwiGLUNames;
  /** Order of the halves of one matrix for both. Default 'value-gate'. */
  order?: SwiGLUOrder;
  /** Default false. */
  bias?: boolean;
  /** Standard deviation of the initial `fc1`. Default 0.02. */
  initStd?: number;
  /** Standard deviation of the initial `fc2`. Default `initStd`. */
  outInitStd?: number;
  /** Initial weights beyond so many standard deviations are drawn again. */
  initCut?: number | undefined;
}

/**
 * Gated MLP `down(silu(gate x) · up x)`.
 *
 * Keys by `projections`: `fc1.weight` (2F, D), whose halves are value and gate, and `fc2.weight` (D, F); or, with
 * `{ gate: 'w1', up: 'w3', down: 'w2' }`, `w1.weight` and `w3.weight` (F, D), and `w2.weight` (D, F).
 * @source Shazeer, arXiv 2002.05202; one matrix as in goombalab/hnet (`mlp.py`), two as in Llama.
 */
export class SwiGLU extends Module {
  /** F after rounding. */
  readonly dIntermediate: number;
  readonly order: SwiGLUOrder;
  /** One for both halves, or gate and value. */
  readonly inputs: readonly [Linear] | readonly [Linear, Linear];
  readonly down: Linear;

  /** @throws ConfigError */
  constructor(config: SwiGLUConfig, rng?: Rng) {
    super();
    const { dModel, dIntermediate, multipleOf = 1, order = 'value-gate', bias = false, initStd = 0.02, outInitStd = initStd, initCut } = config;
    if (!(dIntermediate > 0)) throw new ConfigError(`[SwiGLU] dIntermediate: expected a positive number, got ${dIntermediate}.`);
    if (order !== 'value-gate' && order !== 'gate-value') throw new ConfigError(`[SwiGLU] order: expected 'value-gate' or 'gate-value', got ${JSON.stringify(order)}.`);
    const names: SwiGLUNames = config.projections ?? TRANSFORMER_NAMES.hnet.swiglu;
    const F = Math.ceil(dIntermediate / multipleOf) * multipleOf;
    const linear = (name: string, inFeatures: number, outFeatures: number, std: number) =>
      this.addModule(name, new Linear({ inFeatures, outFeatures, bias, initStd: std, initCut }, rng?.fork(name)));
    this.dIntermediate = F;
    this.order = order;
    this.inputs = 'gateUp' in names ? [linear(names.gateUp, dModel, 2 * F, initStd)] : [linear(names.gate, dModel, F, initStd), linear(names.up, dModel, F, initStd)];
    this.down = linear(names.down, F, dModel, outInitStd);
  }

  /** (..., D) → (..., D). */
  forward<T extends tf.Tensor>(x: T): T {
    const [first, second] = this.inputs;
    const gated = second ? swiglu(first.forward(x), second.forward(x)) : splitSwiglu(first.forward(x), { order: this.order });
    return this.down.forward(gated) as T;
  }
}

/**
 * Width of the MLP in Llama and BLT: `int(8 d / 3)`, times `multiplier` where there is one, rounded up to `multipleOf`.
 *
 * @example feedForwardWidth(1024) // 2816
 */
export function feedForwardWidth(dModel: number, { multiplier, multipleOf = 256 }: { multiplier?: number | null | undefined; multipleOf?: number } = {}): number {
  const plain = Math.trunc((8 * dModel) / 3);
  const wide = multiplier ? Math.trunc(multiplier * plain) : plain;
  return Math.ceil(wide / multipleOf) * multipleOf;
}
