import type * as tf from '@tensorflow/tfjs-core';
import { ConfigError, Linear, Module, splitSwiglu, type Rng } from '@bytelm/core';

/** Which half of `fc1`'s rows is which. H-Net's and Mamba's `fc1` put the value first. */
export type SwiGLUOrder = 'value-gate' | 'gate-value';

export interface SwiGLUConfig {
  dModel: number;
  /** F, before rounding. */
  dIntermediate: number;
  /** F is rounded up to a multiple of this (H-Net: 128). Default 1. */
  multipleOf?: number;
  /** Default 'value-gate'. */
  order?: SwiGLUOrder;
  /** Default false. */
  bias?: boolean;
  /** Standard deviation of the initial `fc1`. Default 0.02. */
  initStd?: number;
  /** Standard deviation of the initial `fc2`. Default `initStd`. */
  outInitStd?: number;
}

/**
 * Gated MLP `fc2(silu(gate) · value)`, value and gate being the halves of `fc1 x`.
 *
 * Keys: `fc1.weight` (2F, D), `fc2.weight` (D, F).
 * @source Shazeer, arXiv 2002.05202; layout of goombalab/hnet (`mlp.py`).
 */
export class SwiGLU extends Module {
  /** F after rounding. */
  readonly dIntermediate: number;
  readonly order: SwiGLUOrder;
  readonly fc1: Linear;
  readonly fc2: Linear;

  /** @throws ConfigError */
  constructor(config: SwiGLUConfig, rng?: Rng) {
    super();
    const { dModel, dIntermediate, multipleOf = 1, order = 'value-gate', bias = false, initStd = 0.02, outInitStd = initStd } = config;
    if (!(dIntermediate > 0)) throw new ConfigError(`[SwiGLU] dIntermediate: expected a positive number, got ${dIntermediate}.`);
    if (order !== 'value-gate' && order !== 'gate-value') throw new ConfigError(`[SwiGLU] order: expected 'value-gate' or 'gate-value', got ${JSON.stringify(order)}.`);
    const F = Math.ceil(dIntermediate / multipleOf) * multipleOf;
    this.dIntermediate = F;
    this.order = order;
    this.fc1 = this.addModule('fc1', new Linear({ inFeatures: dModel, outFeatures: 2 * F, bias, initStd }, rng?.fork('fc1')));
    this.fc2 = this.addModule('fc2', new Linear({ inFeatures: F, outFeatures: dModel, bias, initStd: outInitStd }, rng?.fork('fc2')));
  }

  /** (..., D) → (..., D). */
  forward<T extends tf.Tensor>(x: T): T {
    return this.fc2.forward(splitSwiglu(this.fc1.forward(x), { order: this.order })) as T;
  }
}
