import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { Rng, SequenceContext } from '@bytelm/core';
import { backendsForTest, checkGradients, expectClose, expectNoLeak, useBackend } from '@bytelm/core/testing';
import { BoundaryPredictor, RoutingModule, type BoundaryThreshold } from '../index.js';

describe.each(backendsForTest())('boundary predictor on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  const D = 6;
  const hidden = (B: number, L: number) => new Rng(4).normal([B, L, D], 1) as tf.Tensor3D;
  const row = (x: tf.Tensor3D, b: number, from: number, n: number) => tf.slice(x, [b, from, 0], [1, n, D]);

  it('padding and packing change nothing: rows equal their own runs', async () => {
    const module = new BoundaryPredictor({ dModel: D });
    const x = hidden(2, 9);
    const padded = new SequenceContext(2, 9, { lengths: [9, 5] });
    const logs = await module.boundaryLogProb(x, padded).data();
    const seg = await module.segment(x, padded);
    const alone = row(x, 1, 0, 5);
    const own = new SequenceContext(1, 5);
    await expectClose(module.boundaryLogProb(alone, own), logs.slice(9, 14), { atol: 1e-6 });
    expect([...seg.boundaryMask.slice(9)]).toEqual([...(await module.segment(alone, own)).boundaryMask, 0, 0, 0, 0]);
    // Two documents in one row: the look-ahead does not reach over the end of the first.
    const packed = new SequenceContext(1, 9, { documentIds: Int32Array.of(0, 0, 0, 0, 1, 1, 1, 1, 1) });
    const both = await module.boundaryLogProb(row(x, 0, 0, 9), packed).data();
    await expectClose(module.boundaryLogProb(row(x, 0, 0, 4), new SequenceContext(1, 4)), both.slice(0, 4), { atol: 1e-6 });
    await expectClose(module.boundaryLogProb(row(x, 0, 4, 5), new SequenceContext(1, 5)), both.slice(4), { atol: 1e-6 });
    expect([both[3], both[4], both[8]]).toEqual([-100000, 0, -100000]);
  });

  it('reads a prompt as it segments it; without look-ahead it is the router, step by step', async () => {
    const x = hidden(1, 7);
    const ctx = new SequenceContext(1, 7);
    const module = new BoundaryPredictor({ dModel: D });
    const whole = await module.segment(x, ctx);
    const read = await module.prefill(x, module.initState(1), ctx);
    expect([...read.segmentation.boundaryMask]).toEqual([...whole.boundaryMask]);
    expect(whole.boundaryMask[6]).toBe(0);
    expect(() => module.step({ hidden: tf.reshape(row(x, 0, 0, 1), [1, D]) as tf.Tensor2D }, read.state)).toThrow('[BoundaryPredictor.step] a look-ahead of 1 cannot be used while decoding.');

    const causal = new BoundaryPredictor({ dModel: D, lookahead: 0 });
    const router = await new RoutingModule({ dModel: D }).segment(x, ctx);
    expect([...(await causal.segment(x, ctx)).boundaryMask]).toEqual([...router.boundaryMask]);
    let state = causal.initState(1);
    const steps: number[] = [];
    for (let t = 0; t < 7; t++) {
      const out = await causal.step({ hidden: tf.reshape(row(x, 0, t, 1), [1, D]) as tf.Tensor2D }, state);
      state = out.state;
      steps.push(out.decision.boundary[0]!);
    }
    expect(steps).toEqual([...router.boundaryMask]);
  });

  it('gradients, and rows shorter than the look-ahead', async () => {
    const module = new BoundaryPredictor({ dModel: D, lookahead: 2 });
    const ctx = new SequenceContext(1, 5);
    await checkGradients((x) => tf.slice(module.boundaryLogProb(x as tf.Tensor3D, ctx), [0, 0], [1, 3]), [hidden(1, 5)]);
    await expectClose(module.boundaryProb(hidden(1, 2), new SequenceContext(1, 2)), [1, 0], { atol: 0 });
    await expectNoLeak(async () => {
      const x = hidden(1, 5);
      module.boundaryLogProb(x, ctx).dispose();
      const read = await module.prefill(x, module.initState(1), ctx);
      tf.dispose([x, read.boundaryProb]);
      read.segmentation.dispose();
    });
  });

  it('cuts above the probability it is told', async () => {
    const x = hidden(1, 40);
    const ctx = new SequenceContext(1, 40);
    const maskAt = async (threshold: BoundaryThreshold) => [...(await new BoundaryPredictor({ dModel: D, threshold }).segment(x, ctx)).boundaryMask];
    const p = await new BoundaryPredictor({ dModel: D }).boundaryProb(x, ctx).data();
    expect(await maskAt('above:0.5')).toEqual(await maskAt('sample:0'));
    for (const limit of [0.3, 0.45]) expect(await maskAt(`above:${limit}`)).toEqual(Array.from(p, (v, t) => (t === 0 || v > limit ? 1 : 0)));
    expect(() => new BoundaryPredictor({ dModel: D, threshold: 'above:1' })).toThrow("'above:P' with P from 0 and below 1");
    expect(() => new BoundaryPredictor({ dModel: D, lookahead: 0, threshold: 'above:0.3' })).toThrow('without a look-ahead the router decides');
  });

  it('drawn boundaries follow the seed; unknown thresholds are refused', async () => {
    const x = hidden(1, 40);
    const ctx = new SequenceContext(1, 40);
    const draw = async (seed: number) => [...(await new BoundaryPredictor({ dModel: D, threshold: 'sample:1', rng: new Rng(seed) }).segment(x, ctx)).boundaryMask].join('');
    expect(await draw(1)).toBe(await draw(1));
    expect(await draw(1)).not.toBe(await draw(2));
    expect(() => new BoundaryPredictor({ dModel: D, threshold: 'sample:1' })).toThrow('Hint: give an rng.');
    for (const threshold of ['topk:0', 'topk_percent:2', 'often'] as BoundaryThreshold[]) expect(() => new BoundaryPredictor({ dModel: D, threshold })).toThrow(`got '${threshold}'`);
    expect(() => new BoundaryPredictor({ dModel: D, lookahead: -1 })).toThrow('lookahead: expected a whole number from 0, got -1.');
  });
});
