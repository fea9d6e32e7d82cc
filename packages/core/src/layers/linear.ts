import * as tf from '@tensorflow/tfjs-core';
import { Module } from '../module/module.js';
import { linear } from '../ops/linear.js';
import { packedLinear, type PackedWeight } from '../ops/packed.js';
import type { Rng } from '../rng.js';

export interface LinearConfig {
  inFeatures: number;
  outFeatures: number;
  /** Default true. */
  bias?: boolean;
  /** Standard deviation of the normal initial weights. Default: uniform within ±1/sqrt(inFeatures), as PyTorch does. */
  initStd?: number;
  /** With `initStd`: the normal is cut at so many standard deviations. Default: not. */
  initCut?: number | undefined;
}

/** `y = x Wᵀ + b`. Keys: `weight` (out, in), `bias` (out). */
export class Linear extends Module {
  readonly config: Readonly<LinearConfig>;
  /** (out, in), or its words where it is packed. */
  readonly weight: tf.Variable;
  /** Where it is packed (`withWeightFormat`). */
  readonly packed: PackedWeight | undefined;
  readonly bias: tf.Variable | undefined;

  constructor(config: LinearConfig, rng?: Rng) {
    super();
    this.config = config;
    const { inFeatures, outFeatures, bias = true, initStd, initCut } = config;
    const bound = 1 / Math.sqrt(inFeatures);
    const shape: [number, number] = [outFeatures, inFeatures];
    const initial = rng && (() => (initStd === undefined ? rng.uniform(shape, -bound, bound) : rng.normal(shape, initStd, initCut)));
    ({ variable: this.weight, packed: this.packed } = this.addMatrix('weight', shape, initial));
    if (bias) this.bias = this.addParameter('bias', rng ? rng.uniform([outFeatures], -bound, bound) : tf.zeros([outFeatures]));
  }

  /** (..., in) → (..., out). */
  forward<T extends tf.Tensor>(x: T): T {
    const bias = this.bias as tf.Tensor1D | undefined;
    return (this.packed ? packedLinear(x, this.packed, bias) : linear(x, this.weight as tf.Tensor as tf.Tensor2D, bias)) as T;
  }
}
