import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { observeDispatches } from '@bytelm/core/webgpu';
import { expectNativeAgrees, randomTensors, useBackend } from '@bytelm/core/testing';
import { foldHalvesGradOp, foldHalvesOp, logMassGradOp, logMassOp } from './log-mass.js';

const random = randomTensors(40);

describe('masses of a vocabulary in WGSL and portable', () => {
  beforeAll(() => useBackend('webgpu'));

  it.each([[1, 2], [3, 64], [7, 130], [2, 1000]])('%i rows of %i classes', async (rows, classes) => {
    const logits = tf.mul(random(rows, classes), 9);
    const set = tf.tensor1d(Float32Array.from({ length: classes }, (_, i) => Number(i % 3 === 1)));
    const keys: string[] = [];
    const stop = observeDispatches((call) => keys.push(call.key));
    await expectNativeAgrees(logMassOp, { logits, set }, {}, 1e-6);
    await expectNativeAgrees(logMassGradOp, { logits, set, dy: random(rows) }, {}, 2e-6);
    await expectNativeAgrees(foldHalvesOp, { logits }, {}, 1e-6);
    await expectNativeAgrees(foldHalvesGradOp, { logits, dy: random(rows, classes / 2) }, {}, 2e-6);
    stop();
    for (const kernel of ['log mass:', 'log mass gradient:', 'fold halves:', 'fold halves gradient:']) expect(keys.filter((k) => k.startsWith(kernel)).length, kernel).toBe(1);
  });

  it('of a set without members is nothing', async () => {
    const [y] = logMassOp({ logits: random(2, 5), set: tf.zeros([5]) }, {});
    for (const v of await y!.data()) expect(v).toBeLessThan(-9e29);
  });
});
