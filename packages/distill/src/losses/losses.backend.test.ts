import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { Rng } from '@bytelm/core';
import { backendsForTest, checkGradients, expectClose, expectNoLeak, useBackend } from '@bytelm/core/testing';
import {
  boundaryDivergence,
  boundaryLoss,
  boundaryScores,
  byteDistillLoss,
  encoderMatchLoss,
  exactDistillLoss,
  foldBoundaries,
  labelLogProbs,
  logMass,
  logMassAfterPatches,
  patchEmbeddingLoss,
  patchLogLikelihoods,
  type Distance,
  type Divergence,
} from '../index.js';

const DIVERGENCES: Divergence[] = ['kl', 'crossEntropy', 'reverseKl', 'totalVariation', 'logDifference'];
const DISTANCES: Distance[] = ['l2', 'rms', 'relativeRms', 'cosine'];

describe.each(backendsForTest())('losses on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  /** Log-probabilities between −4 and −0.2. */
  const logProbs = (seed: number, shape: number[]) => new Rng(seed).uniform(shape, -4, -0.2);
  const normal = (seed: number, shape: number[]) => new Rng(seed).normal(shape, 1);

  it('finite differences', async () => {
    const labels = tf.tensor2d([1, 0, 0, 1, 0, 1], [2, 3]);
    const mask = tf.tensor2d([1, 1, 0, 1, 1, 1], [2, 3]);
    await checkGradients((x) => boundaryLoss(x!, { labels, mask }), [logProbs(1, [2, 3])]);
    await checkGradients((x) => boundaryDivergence(x!, { target: logProbs(2, [2, 3]), mask, reduction: 'none' }), [logProbs(3, [2, 3])]);
    for (const divergence of DIVERGENCES) await checkGradients((x) => exactDistillLoss(x!, { teacher: logProbs(4, [2, 3]), mask, divergence, temperature: 2, reduction: 'none' }), [logProbs(5, [2, 3])]);
    const teacher = [normal(6, [2, 3, 5])];
    for (const distance of DISTANCES) await checkGradients((x) => encoderMatchLoss([x!], { teacher, distance, reduction: 'none' }), [normal(7, [2, 3, 5])]);
    // The last row is no distribution, and costs nothing.
    const targets = tf.mul(tf.softmax(normal(14, [2, 3, 5])), tf.tensor3d([1, 1, 1, 1, 1, 0], [2, 3, 1]));
    await checkGradients((x) => byteDistillLoss(x!, { targets, reduction: 'none' }), [normal(15, [2, 3, 5])]);
    await checkGradients((x) => foldBoundaries(x!), [normal(8, [2, 3, 6])]);
    await checkGradients((x) => logMass(x!, tf.tensor1d([1, 0, 0, 1])), [normal(9, [2, 3, 4])]);
    const ids = tf.tensor2d([0, 1, 1, 0, 1, 2], [2, 3], 'int32');
    await checkGradients((x) => patchLogLikelihoods(x!, { labels: tf.tensor2d([2, 3, -100, 0, 1, -100], [2, 3], 'int32'), patchIds: ids, patches: 3 }), [normal(10, [2, 3, 4])]);
    await checkGradients((x) => patchEmbeddingLoss(x!, { embeddings: normal(11, [2, 3, 5]), patchIds: ids }), [normal(12, [2, 3, 5])]);
  });

  it('stay accurate at certain and at hopeless events', async () => {
    const y = [-1e-7, -1e-4, -0.3, -30, -200];
    const at = (v: number) => v / 5 - 1e-6;
    const log1mexp = (v: number) => Math.log(-Math.expm1(v));
    const kl = (u: number, v: number) => Math.exp(u) * (u - v) - Math.expm1(u) * (log1mexp(u) - log1mexp(v));
    const pairs = y.flatMap((t) => y.map((s) => [t, s] as const));
    const [teacher, student] = [0, 1].map((k) => tf.tensor2d(pairs.map((p) => p[k]!), [1, pairs.length])) as [tf.Tensor, tf.Tensor];
    // Float32 keeps y / 5 − 1e−6 to about 1e−7 of itself, which is what near-certain events are known to.
    await expectClose(exactDistillLoss(student, { teacher, reduction: 'none' }), pairs.map(([t, s]) => kl(at(t), at(s))), { atol: 2e-6, rtol: 2e-2 });
    const g = await tf.grad((x: tf.Tensor) => exactDistillLoss(x, { teacher, reduction: 'sum' }))(student).data();
    expect(g.every(Number.isFinite)).toBe(true);
    const b = tf.tensor2d([0, -1e-5, -100000, -50], [1, 4]);
    const labels = tf.tensor2d([1, 0, 0, 1], [1, 4]);
    await expectClose(boundaryLoss(b, { labels, reduction: 'none' }), [1e-3, -log1mexp(-1e-3), 0, 50], { atol: 1e-6, rtol: 1e-5 });
    await expectClose(tf.grad((x: tf.Tensor) => boundaryLoss(x, { labels, reduction: 'sum' }))(b), [0, 0, 0, -1], { atol: 1e-6 });
  });

  it('odd shapes: one byte, one patch, nothing masked in, rows with nothing to predict', async () => {
    const one = tf.tensor2d([-1], [1, 1]);
    const none = tf.tensor2d([0], [1, 1]);
    await expectClose(boundaryLoss(one, { labels: none, mask: none }), [0], { atol: 0 });
    await expectClose(exactDistillLoss(one, { teacher: one, mask: none }), [0], { atol: 0 });
    const alone = tf.tensor3d([1, 2, 3, 4], [1, 1, 4]);
    const ids = tf.tensor2d([0], [1, 1], 'int32');
    await expectClose(patchLogLikelihoods(alone, { labels: tf.tensor2d([-100], [1, 1], 'int32'), patchIds: ids, patches: 2 }), [0, 0], { atol: 0 });
    await expectClose(labelLogProbs(alone, tf.tensor2d([-100], [1, 1], 'int32')), [0], { atol: 0 });
    await expectClose(logMassAfterPatches(alone, { set: tf.ones([4]), ends: tf.tensor2d([0, -1], [1, 2], 'int32') }), [0, 0], { atol: 1e-6 });
    // Equal vectors: no distance, and no gradient that is not a number.
    const v = tf.ones([1, 2, 3]);
    for (const distance of DISTANCES) {
      const f = (x: tf.Tensor) => encoderMatchLoss([x], { teacher: [v], distance });
      await expectClose(f(v), [0], { atol: 1e-6 });
      await expectClose(tf.grad(f)(v), new Float32Array(6), { atol: 1e-6 });
    }
  });

  it('padding changes nothing', async () => {
    const logits = normal(1, [1, 5, 8]);
    const padded = tf.concat([logits, normal(2, [1, 3, 8])], 1);
    const ids = [0, 1, 1, 2, 2];
    const labels = [5, 2, 7, 1, -100];
    const run = (x: tf.Tensor, extra: number, patches: number) =>
      patchLogLikelihoods(x, { labels: tf.tensor2d([[...labels, ...Array<number>(extra).fill(-100)]], undefined, 'int32'), patchIds: tf.tensor2d([[...ids, ...Array<number>(extra).fill(patches)]], undefined, 'int32'), patches });
    const plain = await run(logits, 0, 3).data();
    await expectClose(run(padded, 3, 4), [...plain, 0], { atol: 1e-6 });
  });

  it('leaks nothing', async () => {
    const logits = normal(1, [1, 4, 8]);
    const labels = tf.tensor2d([1, 6, 2, -100], [1, 4], 'int32');
    const patchIds = tf.tensor2d([0, 1, 1, 2], [1, 4], 'int32');
    const teacher = logProbs(2, [1, 3]);
    const vectors = normal(3, [1, 4, 8]);
    await expectNoLeak(() => {
      tf.grad((x: tf.Tensor) => exactDistillLoss(patchLogLikelihoods(x, { labels, patchIds, patches: 3 }), { teacher }))(logits).dispose();
      encoderMatchLoss([logits], { teacher: [vectors] }).dispose();
      patchEmbeddingLoss(logits, { embeddings: vectors, patchIds }).dispose();
      foldBoundaries(logits).dispose();
      const scores = boundaryLoss(teacher, { labels: teacher });
      scores.dispose();
    });
  });
});

describe('losses', () => {
  beforeAll(() => useBackend('cpu'));

  it('name what does not fit', () => {
    const x = tf.zeros([1, 3]);
    expect(() => boundaryLoss(x, { labels: tf.zeros([1, 4]) })).toThrow('[boundaryLoss] `labels`: expected shape (B, L) = (1, 3), got (1, 4).');
    expect(() => exactDistillLoss(x, { teacher: x, temperature: 0 })).toThrow('[exactDistillLoss] temperature: expected a number above 0, got 0.');
    expect(() => encoderMatchLoss([], { teacher: [] })).toThrow('expected as many teacher tensors and weights as student tensors, and one at least; got 0, 0 and 0.');
    expect(() => foldBoundaries(tf.zeros([2, 5]))).toThrow('expected two halves of equal width, got 5 columns.');
  });

  it('scores predicted boundaries', () => {
    expect(boundaryScores([1, 1, 0, 0, 1], [1, 0, 0, 1, 1], [1, 1, 1, 1, 0])).toEqual({ accuracy: 0.5, precision: 0.5, recall: 0.5, count: 4 });
    expect(boundaryScores([0], [0])).toEqual({ accuracy: 1, precision: 0, recall: 0, count: 1 });
  });
});
