import { linear, Module, splitSwiglu, type Rng } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { initialUniform } from './initial.js';

/**
 * The MLP of a local block: `down(silu(gate x) · up x)`.
 * Keys: `gate_proj.weight`, `up_proj.weight` (F, D), `down_proj.weight` (D, F).
 */
export class GatedMlp extends Module {
  readonly gate: tf.Variable;
  readonly up: tf.Variable;
  readonly down: tf.Variable;

  constructor(dModel: number, dIntermediate: number, rng?: Rng) {
    super();
    const weight = (name: string, rows: number, columns: number) => this.addParameter(`${name}.weight`, initialUniform(rng?.fork(name), [rows, columns], columns));
    this.gate = weight('gate_proj', dIntermediate, dModel);
    this.up = weight('up_proj', dIntermediate, dModel);
    this.down = weight('down_proj', dModel, dIntermediate);
  }

  /** (..., D) → (..., D). */
  forward<T extends tf.Tensor>(x: T): T {
    return tf.tidy(() => linear(splitSwiglu(linear(x, tf.concat([this.gate, this.up], 0)), { order: 'gate-value' }), this.down)) as T;
  }
}
