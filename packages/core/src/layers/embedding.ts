import * as tf from '@tensorflow/tfjs-core';
import type { ByteEmbedder } from '../contracts/index.js';
import { withoutState } from '../contracts/on-device.js';
import { DataError } from '../errors.js';
import { Module } from '../module/module.js';
import { takeRows } from '../module/rows.js';
import { embedding } from '../ops/rows.js';
import type { Rng } from '../rng.js';

/** A table of byte vectors, (V, D). Key: `weight`. It carries no state from byte to byte. */
export class Embedding extends Module implements ByteEmbedder<null> {
  readonly weight: tf.Variable;
  readonly dModel: number;
  readonly vocabSize: number;
  readonly onDevice = withoutState((ids: tf.Tensor1D) => embedding(this.weight as tf.Tensor, ids) as tf.Tensor2D);

  constructor(config: { vocabSize: number; dModel: number; initStd?: number; initCut?: number }, rng?: Rng) {
    super();
    this.vocabSize = config.vocabSize;
    this.dModel = config.dModel;
    const shape = [config.vocabSize, config.dModel];
    this.weight = this.addParameter('weight', rng ? rng.normal(shape, config.initStd ?? 1, config.initCut) : tf.zeros(shape));
  }

  /** (B, L) int32 → (B, L, D). */
  forward(ids: tf.Tensor2D): tf.Tensor3D {
    return embedding(this.weight as tf.Tensor as tf.Tensor2D, ids) as tf.Tensor3D;
  }

  initState(): null {
    return null;
  }

  prefill(ids: tf.Tensor2D): { y: tf.Tensor3D; state: null } {
    return { y: this.forward(ids), state: null };
  }

  step(ids: Int32Array): { y: tf.Tensor2D; state: null } {
    for (const id of ids) if (!(id >= 0 && id < this.vocabSize)) throw new DataError(`[Embedding.step] id ${id}: expected 0..${this.vocabSize - 1}.`);
    return { y: takeRows(this.weight as tf.Tensor as tf.Tensor2D, [...ids]), state: null };
  }
}
