import type * as tf from '@tensorflow/tfjs-core';
import type { ByteHead } from '../contracts/index.js';
import { Module } from '../module/module.js';
import { linear } from '../ops/linear.js';
import { packedLinear, type PackedWeight } from '../ops/packed.js';
import type { Rng } from '../rng.js';
import type { Embedding } from './embedding.js';

/**
 * Logits by one matrix without bias. Key: `weight` (V, D), or the embedding's own table when tied.
 * With `boundaryFrom` its ids also say where chunks end, see `ByteHead`.
 */
export class LinearHead extends Module implements ByteHead {
  /** (V, D), or its words where it is packed. */
  readonly weight: tf.Variable;
  /** Where it is packed (`withWeightFormat`); a tied table never is. */
  readonly packed: PackedWeight | undefined;
  readonly vocabSize: number;
  readonly boundaryFrom: number | undefined;

  constructor(config: { vocabSize: number; dModel: number; initStd?: number; initCut?: number; tiedTo?: Embedding; boundaryFrom?: number | undefined }, rng?: Rng) {
    super();
    this.vocabSize = config.vocabSize;
    this.boundaryFrom = config.boundaryFrom;
    if (config.tiedTo) {
      this.weight = this.tieParameter('weight', config.tiedTo.weight);
    } else {
      const shape: [number, number] = [config.vocabSize, config.dModel];
      const initial = rng && (() => rng.normal(shape, config.initStd ?? 0.02, config.initCut));
      ({ variable: this.weight, packed: this.packed } = this.addMatrix('weight', shape, initial));
    }
  }

  forward(x: tf.Tensor): tf.Tensor {
    return this.packed ? packedLinear(x, this.packed) : linear(x, this.weight as tf.Tensor as tf.Tensor2D);
  }
}
