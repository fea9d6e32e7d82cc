import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { canReadSync, SequenceContext, type SequenceLM } from '@bytelm/core';
import { AdamW, type TrainBatch } from '@bytelm/core/train';
import { backendsForTest, expectNoLeak, useBackend } from '@bytelm/core/testing';
import { padded, textIds, TINY, tinyModel } from './tiny-models.js';

/** Losses of the first ten steps, recorded on cpu: every backend must find the same. */
const EXPECTED: Record<string, number[]> = {
  'one stage': [5.85164, 5.45463, 5.15269, 4.97793, 4.81743, 4.66604, 4.54872, 4.46813, 4.37385, 4.2756],
  'two stages': [5.6389, 5.31088, 5.05048, 4.87536, 4.71566, 4.56666, 4.48337, 4.36642, 4.28282, 4.18258],
  mambabyte: [5.76846, 5.60354, 5.44177, 5.28494, 5.1344, 4.99084, 4.85424, 4.7241, 4.59974, 4.48049],
  llamabyte: [5.77062, 5.67335, 5.57664, 5.4805, 5.38495, 5.28993, 5.19543, 5.10146, 5.00805, 4.91531],
};

function batchOf(rows: Int32Array[]): TrainBatch {
  const { ids, length } = padded(rows);
  return { ids, batch: rows.length, length, lengths: Int32Array.from(rows, (r) => r.length) };
}

function free(loss: tf.Scalar, parts: Record<string, tf.Scalar | number>, grads: Map<string, tf.Tensor>): void {
  tf.dispose([loss, ...Object.values(parts).filter((p) => p instanceof tf.Tensor), ...grads.values()]);
}

async function lossOf(model: SequenceLM, batch: TrainBatch): Promise<number> {
  const { loss, parts, grads } = await model.lossAndGrads(batch);
  const value = (await loss.data())[0]!;
  free(loss, parts, grads);
  return value;
}

/** The same loss without gradients. */
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

describe.each(backendsForTest())('training on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  const kinds = Object.keys(TINY);

  it.each(kinds)('%s: ten steps of AdamW give the losses of the other backends', async (kind) => {
    const model = tinyModel(kind);
    const optimizer = new AdamW([{ params: model.parameters(), weightDecay: 0.1 }]);
    const batch = batchOf(textIds([33, 20]));
    const losses: number[] = [];
    for (let i = 0; i < 10; i++) {
      const { loss, parts, grads } = await model.lossAndGrads(batch);
      losses.push((await loss.data())[0]!);
      optimizer.apply(grads, { lr: 1e-3 });
      free(loss, parts, grads);
    }
    expect(losses[9]!).toBeLessThan(losses[0]!);
    losses.forEach((l, i) => expect(Math.abs(l - EXPECTED[kind]![i]!), `step ${i}: ${losses.join(', ')}`).toBeLessThan(3e-4));
    optimizer.dispose();
    model.dispose();
  });

  it.each(kinds)('%s: gradients agree with finite differences', async (kind) => {
    // The straight-through gate is no derivative of the forward pass, on purpose: without it everything must agree.
    const model = tinyModel(kind, 1, { straightThrough: false });
    const batch = batchOf(textIds([17, 9]));
    const { loss, parts, grads } = await model.lossAndGrads(batch);
    // One entry of each parameter: the one with the largest gradient, where the difference quotient is most accurate.
    // Slow backends take every seventh parameter; wasm and tensorflow take all.
    const every = backend === 'cpu' || backend === 'webgpu' ? 7 : 1;
    for (const [name, v] of [...model.parameters()].filter((_, i) => i % every === 0)) {
      const g = grads.get(name);
      if (!g) continue;
      const values = await g.data();
      let at = 0;
      for (let i = 1; i < values.length; i++) if (Math.abs(values[i]!) > Math.abs(values[at]!)) at = i;
      const original = Float32Array.from(await v.data());
      const eps = 1e-2;
      const lossAt = async (d: number) => {
        const moved = tf.tensor(Float32Array.from(original, (w, i) => (i === at ? w + d : w)), v.shape);
        v.assign(moved);
        moved.dispose();
        return forwardLoss(model, batch);
      };
      const numeric = ((await lossAt(eps)) - (await lossAt(-eps))) / (2 * eps);
      await lossAt(0);
      expect(Math.abs(numeric - values[at]!), `${name}[${at}]: gradient ${values[at]}, finite difference ${numeric}`).toBeLessThan(2e-3 + 0.05 * Math.abs(values[at]!));
    }
    free(loss, parts, grads);
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
    const ids = Int32Array.from(rows.flatMap((r) => [...r]));
    const documentIds = Int32Array.from(rows.flatMap((r, d) => [...r].map(() => d)));
    const run = async (b: TrainBatch) => {
      const { loss, parts, grads } = await model.lossAndGrads(b);
      const ce = (await (parts.crossEntropy as tf.Scalar).data())[0]!;
      free(loss, parts, grads);
      return ce;
    };
    const packed = await run({ ids, documentIds, batch: 1, length: ids.length });
    expect(await run(batchOf(rows))).toBeCloseTo(packed, 4);
    model.dispose();
  });

  it.runIf(backend === 'webgpu')('reads nothing synchronously', () => expect(canReadSync()).toBe(false));
});
