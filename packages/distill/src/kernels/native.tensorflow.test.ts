import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, it } from 'vitest';
import { expectNativeAgrees, hasNativeOps, randomTensors, useBackend } from '@bytelm/core/testing';
import { distributionDivergenceGradOp, distributionDivergenceOp } from './distribution-divergence.js';

const hasNative = await hasNativeOps();
const random = randomTensors(60);

describe.skipIf(!hasNative)('native and portable forms agree', () => {
  beforeAll(() => useBackend('tensorflow'));

  it.each([[1, 1], [3, 7], [5, 16], [33, 130], [2, 520]])('divergence of %i rows of %i classes', async (rows, classes) => {
    const logits = tf.mul(random(rows!, classes!), 9);
    // Hopeless classes, and a row that is no distribution.
    const isReal = tf.tensor2d(Float32Array.from({ length: rows! }, (_, r) => Number(r !== 2)), [rows!, 1]);
    const sparse = tf.mul(tf.exp(tf.mul(random(rows!, classes!), 5)), tf.cast(tf.greater(random(rows!, classes!), -0.5), 'float32'));
    const targets = tf.mul(tf.div(sparse, tf.maximum(tf.sum(sparse, 1, true), tf.scalar(1e-6))), isReal);
    await expectNativeAgrees(distributionDivergenceOp, { logits, targets }, {});
    await expectNativeAgrees(distributionDivergenceGradOp, { logits, targets, dy: random(rows!) }, {});
  });
});
