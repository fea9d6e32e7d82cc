import { beforeAll, describe, expect, it } from 'vitest';
import { AdamW } from '@bytelm/core/train';
import { backendsForTest, expectNoLeak, useBackend } from '@bytelm/core/testing';
import { batchOf, expectGradients, expectLosses, free } from '@bytelm/example-shared/testing';
import { entropyModelOf } from '../src/index.js';
import { disposeTiny, textIds, TINY, tinyModel } from './tiny-models.js';

/** Losses of the first ten steps, recorded on cpu: every backend must find the same. */
const EXPECTED: Record<string, number[]> = {
  entropy: [5.6891, 5.17479, 4.81235, 4.52872, 4.29401, 4.08684, 3.89639, 3.72127, 3.564, 3.4154],
  'all layers, projected': [6.47051, 5.73848, 5.22069, 4.8347, 4.51948, 4.26087, 4.04595, 3.85565, 3.6777, 3.50746],
  space: [5.73408, 5.21791, 4.85212, 4.54461, 4.28631, 4.06985, 3.88291, 3.71386, 3.5546, 3.39906],
};

describe.each(backendsForTest())('training BLT on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  const kinds = Object.keys(TINY);
  const WITH_ENDS = 24;

  it.each(kinds)('%s: ten steps of AdamW give the losses of the other backends', async (kind) => {
    const model = tinyModel(kind);
    await expectLosses(model, batchOf(textIds([37, 20], WITH_ENDS)), 3e-3, EXPECTED[kind]!);
    disposeTiny(model);
  });

  it.each(kinds)('%s: gradients agree with finite differences', async (kind) => {
    const model = tinyModel(kind);
    const batch = batchOf(textIds([27, 9], WITH_ENDS));
    const made = await model.lossAndGrads(batch);
    expect([...made.grads.keys()].sort()).toEqual([...model.parameters().keys()].sort());
    free(made);
    // wasm takes every parameter, the others a few.
    const every = backend === 'wasm' ? 1 : 13;
    await expectGradients(model, batch, { eps: 1e-2, relative: 0.04, chosen: (_, i) => i % every === 0 });
    disposeTiny(model);
  });

  it('training steps leak nothing, and the entropy model stays as it is', async () => {
    const model = tinyModel('entropy');
    const optimizer = new AdamW([{ params: model.parameters() }]);
    const batch = batchOf(textIds([20, 11]));
    const step = async () => {
      const made = await model.lossAndGrads(batch);
      optimizer.apply(made.grads, { lr: 1e-3 });
      free(made);
    };
    const entropyWeights = async () => Promise.all([...entropyModelOf(model).parameters().values()].map(async (v) => [...(await v.data())]));
    const before = await entropyWeights();
    await step();
    await expectNoLeak(step);
    expect(await entropyWeights()).toEqual(before);
    optimizer.dispose();
    disposeTiny(model);
  });
});
