import * as tf from '@tensorflow/tfjs-core';
import { Module } from '../module/module.js';
import { rmsNorm } from '../ops/norm.js';

/** `x · rsqrt(mean(x²) + eps) · weight` over the last axis. Key: `weight` (D), initially 1. */
export class RMSNorm extends Module {
  readonly weight: tf.Variable;
  readonly eps: number;

  constructor(dim: number, eps = 1e-5) {
    super();
    this.eps = eps;
    this.weight = this.addParameter('weight', tf.ones([dim]));
  }

  forward<T extends tf.Tensor>(x: T): T {
    return rmsNorm(x, this.weight as tf.Tensor as tf.Tensor1D, { eps: this.eps }) as T;
  }
}
