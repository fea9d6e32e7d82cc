import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { canReadSync, SequenceContext, type SequenceLM } from '@bytelm/core';
import { AdamW, type TrainBatch } from '@bytelm/core/train';
import { backendsForTest, expectNoLeak, useBackend } from '@bytelm/core/testing';
import { entropyModelOf } from '../src/index.js';
import { disposeTiny, padded, textIds, TINY, tinyModel } from './tiny-models.js';

/** Losses of the first ten steps, recorded on cpu: every backend must find the same. */
const EXPECTED: Record<string, number[]> = {
  entropy: [5.6891, 5.17479, 4.81235, 4.52872, 4.29401, 4.08684, 3.89639, 3.72127, 3.564, 3.4154],
  'all layers, projected': [6.47051, 5.73848, 5.22069, 4.8347, 4.51948, 4.26087, 4.04595, 3.85565, 3.6777, 3.50746],
  space: [5.73408, 5.21791, 4.85212, 4.54461, 4.28631, 4.06985, 3.88291, 3.71386, 3.5546, 3.39906],
};

function batchOf(rows: Int32Array[]): TrainBatch {
  const { ids, length } = padded(rows);
  return { ids, batch: rows.length, length, lengths: Int32Array.from(rows, (r) => r.length) };
}

function free(loss: tf.Scalar, parts: Record<string, tf.Scalar | number>, grads: Map<string, tf.Tensor>): void {
  tf.dispose([loss, ...Object.values(parts).filter((p) => p instanceof tf.Tensor), ...grads.values()]);
}

/** The loss without gradients. */
async function forwardLoss(model: SequenceLM, { ids, batch, length, lengths }: TrainBatch): Promise<number> {
  const L = length - 1;
  const inputs = new Int32Array(batch * L);
  const labels = new Int32Array(batch * L);
  for (let b = 0; b < batch; b++)
    for (let t = 0; t < L; t++) {
      inputs[b * L + t] = ids[b * length + t]!;
      labels[b * L + t] = t + 1 < lengths![b]! ? ids[b * length + t + 1]! : -100;
    }
  const ctx = new SequenceContext(batch, L, { ids: inputs, lengths: lengths!.map((n) => n - 1) });
  const plan = canReadSync() ? undefined : await model.plan(ctx);
  const total = tf.tidy(() => {
    const { total, records } = model.loss(labels, plan ? ctx.with({ plan }) : ctx);
    for (const r of records) {
      r.segmentation.dispose();
      r.context.dispose();
    }
    return total;
  });
  const value = (await total.data())[0]!;
  total.dispose();
  ctx.dispose();
  return value;
}

describe.each(backendsForTest())('training BLT on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  const kinds = Object.keys(TINY);
  const WITH_ENDS = 24;

  it.each(kinds)('%s: ten steps of AdamW give the losses of the other backends', async (kind) => {
    const model = tinyModel(kind);
    const optimizer = new AdamW([{ params: model.parameters(), weightDecay: 0.1 }]);
    const batch = batchOf(textIds([37, 20], WITH_ENDS));
    const losses: number[] = [];
    for (let i = 0; i < 10; i++) {
      const { loss, parts, grads } = await model.lossAndGrads(batch);
      losses.push((await loss.data())[0]!);
      optimizer.apply(grads, { lr: 3e-3 });
      free(loss, parts, grads);
    }
    expect(losses[9]!).toBeLessThan(losses[0]!);
    losses.forEach((l, i) => expect(Math.abs(l - EXPECTED[kind]![i]!), `step ${i}: ${losses.map((v) => v.toFixed(5)).join(', ')}`).toBeLessThan(3e-4));
    optimizer.dispose();
    disposeTiny(model);
  });

  it.each(kinds)('%s: gradients agree with finite differences', async (kind) => {
    const model = tinyModel(kind);
    const batch = batchOf(textIds([27, 9], WITH_ENDS));
    const { loss, parts, grads } = await model.lossAndGrads(batch);
    expect([...grads.keys()].sort()).toEqual([...model.parameters().keys()].sort());
    // One entry of each parameter: the one with the largest gradient, where the difference quotient is most accurate.
    // wasm takes every parameter, the others a few.
    const every = backend === 'wasm' ? 1 : 13;
    for (const [name, v] of [...model.parameters()].filter((_, i) => i % every === 0)) {
      const g = Float32Array.from(await grads.get(name)!.data());
      const at = g.reduce((best, value, i) => (Math.abs(value) > Math.abs(g[best]!) ? i : best), 0);
      const before = Float32Array.from(await v.data());
      const nearby = async (d: number): Promise<number> => {
        const moved = tf.tensor(before.map((x, i) => (i === at ? x + d : x)), v.shape);
        v.assign(moved);
        moved.dispose();
        return forwardLoss(model, batch);
      };
      const h = 1e-2;
      const slope = ((await nearby(h)) - (await nearby(-h))) / (2 * h);
      await nearby(0);
      expect(Math.abs(slope - g[at]!), `${name}[${at}]: ${g[at]} by gradient, ${slope} by difference`).toBeLessThan(2e-3 + 0.04 * Math.abs(slope));
    }
    free(loss, parts, grads);
    disposeTiny(model);
  });

  it('training steps leak nothing, and the entropy model stays as it is', async () => {
    const model = tinyModel('entropy');
    const optimizer = new AdamW([{ params: model.parameters() }]);
    const batch = batchOf(textIds([20, 11]));
    const step = async () => {
      const { loss, parts, grads } = await model.lossAndGrads(batch);
      optimizer.apply(grads, { lr: 1e-3 });
      free(loss, parts, grads);
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
