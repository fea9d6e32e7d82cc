import { linear, Module, splitSwiglu, type Rng } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { initialLinear } from '../modules/initial.js';

/**
 * The MLP of state-spaces' models with `d_intermediate`: `fc2(value * silu(gate))`, the value in the first half of fc1's rows.
 * Keys: `fc1.weight` (2F, D), `fc2.weight` (D, F).
 */
export class GatedMlp extends Module {
  readonly fc1: tf.Variable;
  readonly fc2: tf.Variable;

  /** @param outInitScale factor of the initial fc2. */
  constructor({ dModel, dIntermediate, outInitScale = 1 }: { dModel: number; dIntermediate: number; outInitScale?: number }, rng?: Rng) {
    super();
    // Checkpoint: the hidden width is rounded up to a multiple of 128.
    const width = Math.ceil(dIntermediate / 128) * 128;
    this.fc1 = this.addParameter('fc1.weight', initialLinear(rng?.fork('fc1'), 2 * width, dModel));
    this.fc2 = this.addParameter('fc2.weight', initialLinear(rng?.fork('fc2'), dModel, width, undefined, outInitScale));
  }

  forward<T extends tf.Tensor>(x: T): T {
    return tf.tidy(() => linear(splitSwiglu(linear(x, this.fc1), { order: 'value-gate' }), this.fc2)) as T;
  }
}
