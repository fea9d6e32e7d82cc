import * as tf from '@tensorflow/tfjs-core';
import type { ByteHead } from '../contracts/index.js';
import { Module } from '../module/module.js';
import { linear } from '../ops/linear.js';
import type { Rng } from '../rng.js';
import type { Embedding } from './embedding.js';

/**
 * Logits by one matrix without bias. Key: `weight` (V, D), or the embedding's own table when tied.
 * With `boundaryFrom` its ids also say where chunks end, see `ByteHead`.
 */
export class LinearHead extends Module implements ByteHead {
  readonly weight: tf.Variable;
  readonly vocabSize: number;
  readonly boundaryFrom: number | undefined;

  constructor(config: { vocabSize: number; dModel: number; initStd?: number; initCut?: number; tiedTo?: Embedding; boundaryFrom?: number | undefined }, rng?: Rng) {
    super();
    this.vocabSize = config.vocabSize;
    this.boundaryFrom = config.boundaryFrom;
    if (config.tiedTo) {
      this.weight = this.tieParameter('weight', config.tiedTo.weight);
    } else {
      const shape = [config.vocabSize, config.dModel];
      this.weight = this.addParameter('weight', rng ? rng.normal(shape, config.initStd ?? 0.02, config.initCut) : tf.zeros(shape));
    }
  }

  forward(x: tf.Tensor): tf.Tensor {
    return linear(x, this.weight as tf.Tensor as tf.Tensor2D);
  }
}
