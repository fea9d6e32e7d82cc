import * as tf from '@tensorflow/tfjs-core';
import { Module } from '../module/module.js';
import { Rng } from '../rng.js';
import type { LossAndGrads, TrainableModel, TrainBatch } from './types.js';

/** Predicts a byte from the one before it by two tables; small enough to train in tests, with a tied second name. */
export class BigramModel extends Module implements TrainableModel {
  private readonly table: tf.Variable;
  private readonly out: tf.Variable;

  constructor(
    seed: number,
    private readonly width = 8,
  ) {
    super();
    const rng = new Rng(seed);
    this.table = this.addParameter('embeddings.weight', rng.normal([256, width], 0.5));
    this.out = this.addParameter('lm_head.weight', rng.normal([256, width], 0.5));
    this.tieParameter('tied.weight', this.out);
  }

  async lossAndGrads({ ids, batch, length }: TrainBatch): Promise<LossAndGrads> {
    const rows = tf.tensor2d(ids, [batch, length], 'int32');
    const variables = [this.table, this.out];
    const { value, grads } = tf.tidy(() => {
      const n = batch * (length - 1);
      const x = tf.oneHot(tf.reshape(tf.slice(rows, [0, 0], [batch, length - 1]), [n]), 256);
      const y = tf.oneHot(tf.reshape(tf.slice(rows, [0, 1], [batch, length - 1]), [n]), 256);
      return tf.variableGrads(() => {
        const logits = tf.matMul(tf.matMul(tf.cast(x, 'float32'), this.table as tf.Tensor2D), this.out as tf.Tensor2D, false, true);
        return tf.neg(tf.mean(tf.sum(tf.mul(tf.cast(y, 'float32'), tf.logSoftmax(logits)), -1))) as tf.Scalar;
      }, variables);
    });
    rows.dispose();
    const [a, b] = variables.map((v) => grads[v.name]!);
    return { loss: value, parts: { width: this.width, crossEntropy: tf.clone(value) }, grads: new Map([['embeddings.weight', a!], ['lm_head.weight', b!], ['tied.weight', b!]]) };
  }
}
