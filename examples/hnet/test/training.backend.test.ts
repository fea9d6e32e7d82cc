import { beforeAll, describe, expect, it } from 'vitest';
import { canReadSync } from '@bytelm/core';
import { backendsForTest, expectNoLeak, useBackend } from '@bytelm/core/testing';
import { batchOf, expectGradients, expectLosses, lossOf, packed } from '@bytelm/example-shared/testing';
import { textIds, TINY, tinyModel } from './tiny-models.js';

/** Losses of the first ten steps, recorded on cpu: every backend must find the same. */
const EXPECTED: Record<string, number[]> = {
  'one stage': [5.85164, 5.45463, 5.15269, 4.97793, 4.81743, 4.66604, 4.54872, 4.46813, 4.37385, 4.2756],
  'two stages': [5.6389, 5.31088, 5.05048, 4.87536, 4.71566, 4.56666, 4.48337, 4.36642, 4.28282, 4.18258],
  mambabyte: [5.76846, 5.60354, 5.44177, 5.28494, 5.1344, 4.99084, 4.85424, 4.7241, 4.59974, 4.48049],
  llamabyte: [5.77062, 5.67335, 5.57664, 5.4805, 5.38495, 5.28993, 5.19543, 5.10146, 5.00805, 4.91531],
};

describe.each(backendsForTest())('training on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  const kinds = Object.keys(TINY);

  it.each(kinds)('%s: ten steps of AdamW give the losses of the other backends', async (kind) => {
    const model = tinyModel(kind);
    await expectLosses(model, batchOf(textIds([33, 20])), 1e-3, EXPECTED[kind]!);
    model.dispose();
  });

  it.each(kinds)('%s: gradients agree with finite differences', async (kind) => {
    // The straight-through gate is no derivative of the forward pass, on purpose: without it everything must agree.
    const model = tinyModel(kind, 1, { straightThrough: false });
    // Slow backends take every seventh parameter; wasm and tensorflow take all.
    const every = backend === 'cpu' || backend === 'webgpu' ? 7 : 1;
    await expectGradients(model, batchOf(textIds([17, 9])), { eps: 1e-2, relative: 0.05, chosen: (_, i) => i % every === 0 });
    model.dispose();
  });

  it.each(kinds)('%s: leaks nothing over training steps', async (kind) => {
    const model = tinyModel(kind);
    const batch = batchOf(textIds([24, 11]));
    await lossOf(model, batch);
    const steps = { cpu: 10, webgpu: 5, wasm: 50, tensorflow: 50 }[backend];
    await expectNoLeak(async () => {
      for (let i = 0; i < steps; i++) await lossOf(model, batch);
    });
    model.dispose();
  });

  it('packed documents give the loss of separate rows', async () => {
    const model = tinyModel('two stages');
    const rows = textIds([30, 18, 5]);
    const together = await lossOf(model, packed(rows), 'crossEntropy');
    expect(await lossOf(model, batchOf(rows), 'crossEntropy')).toBeCloseTo(together, 4);
    model.dispose();
  });

  it.runIf(backend === 'webgpu')('reads nothing synchronously', () => expect(canReadSync()).toBe(false));
});
