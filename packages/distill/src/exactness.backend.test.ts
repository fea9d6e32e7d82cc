// The mathematics of exact distillation, without any trained model: tables are students and teachers.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { Rng } from '@bytelm/core';
import { backendsForTest, expectClose, fixtureRoot, useBackend } from '@bytelm/core/testing';
import { byteDistillLoss, byteRows, exactDistillLoss, foldBoundaries, fusedLabels, patchLogLikelihoods, SubwordVocabulary, TeacherBytes, tokenLogLikelihoods, type TokenizerJson } from './index.js';

const vocabulary = new SubwordVocabulary(JSON.parse(readFileSync(join(fixtureRoot(), 'bolmo/toy_tokenizer/tokenizer.json'), 'utf8')) as TokenizerJson);
/** The teacher's matrix has unused rows behind the tokenizer's. */
const V = 352;
/** Tokens of one, two, six and seven bytes; the second row is shorter. */
const TOKENS = [[256, 68, 268, 329, 67, 284, 315, 0], [285, 305, 281, 0]];
const rows = byteRows(TOKENS, { vocabulary });
const { batch: B, length: n, patches: P } = rows;

describe.each(backendsForTest())('exact distillation on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  async function setUp() {
    const logits = new Rng(5).normal([B, P, V], 2) as tf.Tensor3D;
    // Unused rows are never sampled: a trained teacher gives them nothing.
    const teacherLogits = tf.tidy(() => tf.sub(logits, tf.tensor1d(Float32Array.from({ length: V }, (_, v) => (vocabulary.has(v) ? 0 : 1e4))))) as tf.Tensor3D;
    const logProbs = (await tf.tidy(() => tf.logSoftmax(teacherLogits)).data()) as Float32Array;
    const teacher = tokenLogLikelihoods(teacherLogits, tf.tensor2d(rows.teacherIds, [B, P], 'int32'));
    const labels = tf.tensor2d(fusedLabels(rows), [B, n], 'int32');
    const patchIds = tf.tensor2d(rows.patchIds, [B, n], 'int32');
    const copy = tf.tensor3d(new TeacherBytes(vocabulary).logits(rows, logProbs, V), [B, n, 520]);
    // The last patch of a row is left out: nobody can say that it ends there, its last label is not fused.
    const isLast = (i: number) => i % P === P - 1 || !rows.patchMask[i + 1];
    const mask = tf.tensor2d(Float32Array.from(rows.patchMask, (m, i) => (m && i % P > 0 && !isLast(i) ? 1 : 0)), [B, P]);
    const patches = (x: tf.Tensor) => patchLogLikelihoods(x, { labels, patchIds, patches: P });
    const bytes = new TeacherBytes(vocabulary).targets(rows, logProbs.map(Math.exp), V);
    const targets = { targets: tf.tensor3d(bytes.targets, [B, n, 520]), mask: tf.tensor2d(bytes.mask, [B, n]) };
    return { teacher, copy, mask, patches, logProbs, bytes: targets };
  }

  it('chain rule: byte and boundary likelihoods give the token likelihoods back', async () => {
    const { teacher, copy, mask, patches } = await setUp();
    await expectClose(tf.mul(patches(copy), mask), tf.mul(teacher, mask), { atol: 1e-5, rtol: 1e-5 });
    // Every row of the copy is a distribution.
    const total = tf.sum(tf.exp(tf.slice(foldBoundaries(copy), [0, 0, 0], [1, n - 1, 260])), -1);
    await expectClose(total, new Float32Array(n - 1).fill(1), { atol: 1e-4 });
  });

  it('whole distributions: 0 with gradient 0 at the copy, and elsewhere the gradient that labels have on average', async () => {
    const { copy, bytes } = await setUp();
    const loss = (x: tf.Tensor) => byteDistillLoss(x, bytes);
    await expectClose(loss(copy), [0], { atol: 2e-6 });
    expect((await tf.max(tf.abs(tf.grad(loss)(copy))).data())[0]!).toBeLessThan(1e-7);
    const other = tf.add(copy, new Rng(9).normal([B, n, 520], 0.5));
    expect((await loss(other).data())[0]!).toBeGreaterThan(1e-2);
    // Every distribution sums to 1; positions that predict nothing have none.
    await expectClose(tf.sum(bytes.targets, -1), bytes.mask, { atol: 1e-5 });
    expect((await tf.sum(bytes.mask).data())[0]).toBe(rows.labels.reduce((a, y) => a + (y >= 0 ? 1 : 0), 0));
    // Softmax minus the distribution, over the rows that count.
    const expected = tf.div(tf.mul(tf.sub(tf.softmax(other), bytes.targets), tf.expandDims(bytes.mask, -1)), tf.sum(bytes.mask));
    await expectClose(tf.grad(loss)(other), expected, { atol: 1e-6 });
  });

  it('a student that copies its teacher: divergence 0, the paper\'s form at the entropy, gradient 0', async () => {
    const { teacher, copy, mask, patches } = await setUp();
    for (const temperature of [1, 5]) {
      const loss = (divergence: 'kl' | 'crossEntropy' | 'reverseKl') => (x: tf.Tensor) => exactDistillLoss(patches(x), { teacher, mask, divergence, temperature });
      const other = tf.add(copy, new Rng(9).normal([B, n, 520], 0.5));
      const floor = tf.tidy(() => exactDistillLoss(teacher, { teacher, mask, divergence: 'crossEntropy', temperature }));
      const entropy = (await floor.data())[0]!;
      for (const divergence of ['kl', 'reverseKl', 'crossEntropy'] as const) {
        const f = loss(divergence);
        const expected = divergence === 'crossEntropy' ? entropy : 0;
        await expectClose(f(copy), [expected], { atol: 2e-6 });
        expect((await f(other).data())[0]!).toBeGreaterThan(expected + 1e-4);
        const largest = async (x: tf.Tensor) => (await tf.max(tf.abs(tf.grad(f)(x))).data())[0]!;
        const away = await largest(other);
        expect(away).toBeGreaterThan(1e-5);
        expect(await largest(copy)).toBeLessThan(1e-4 * away + 1e-7);
      }
    }
  });
});

describe('exact distillation', () => {
  beforeAll(() => useBackend('cpu'));

  it('the entropy is the binary entropy of each tempered patch likelihood', async () => {
    const y = [-0.5, -3];
    const teacher = tf.tensor2d([y]);
    const h = (p: number) => -p * Math.log(p) - (1 - p) * Math.log(1 - p);
    const expected = y.map((v) => h(Math.exp(v / 5 - 1e-6)));
    await expectClose(exactDistillLoss(teacher, { teacher, divergence: 'crossEntropy', reduction: 'none' }), expected, { atol: 1e-6 });
  });

  it('has no other minimum: descent from anywhere ends at the teacher\'s likelihoods', async () => {
    // Four ids and their fused twins; patches of 2, 1 and 2 bytes behind the begin symbol.
    const options = { labels: tf.tensor2d([[1, 4, 6, 3, 5, -100]], [1, 6], 'int32'), patchIds: tf.tensor2d([[0, 1, 1, 2, 3, 3]], [1, 6], 'int32'), patches: 4 };
    const teacher = tf.tensor2d([[0, -1.2, -0.3, -4]]);
    const mask = tf.tensor2d([[0, 1, 1, 1]]);
    const gradient = tf.grad((z: tf.Tensor) => exactDistillLoss(patchLogLikelihoods(z, options), { teacher, mask, temperature: 5, reduction: 'sum' }));
    for (const seed of [1, 2]) {
      let x = new Rng(seed).normal([1, 6, 8], 2) as tf.Tensor;
      for (let step = 0; step < 400; step++) x = tf.tidy(() => tf.sub(x, tf.mul(gradient(x), 1.5)));
      await expectClose(tf.mul(patchLogLikelihoods(x, options), mask), tf.mul(teacher, mask), { atol: 5e-3, rtol: 5e-3 });
    }
  });

  it('all tokens together have probability 1, and spell-alikes share theirs', () => {
    const bytes = new TeacherBytes(vocabulary);
    const logProbs = Float64Array.from({ length: V }, (_, v) => Math.log(vocabulary.has(v) ? 1 / 340 : 1e-12));
    let total = 0;
    for (let id = 0; id < vocabulary.size; id++) {
      const ids = Array.from(vocabulary.symbolsOf(id), (s) => (s === 256 ? 1 : s === 257 ? 0 : s + 4));
      const logs = bytes.rowsOf(logProbs, id).map((row, k) => row[ids[k]! + (k === ids.length - 1 ? 260 : 0)]!);
      total += Math.exp(logs.reduce((a, b) => a + b, 0));
    }
    expect(total).toBeCloseTo(1, 9);
  });

  it('distributions are left out where a boundary was, and folded for students without boundaries', () => {
    const ended = byteRows([[256, 68, 268, vocabulary.endId!, 285, 305]], { vocabulary });
    const probs = new Float32Array(ended.patches * V).fill(1 / V);
    const bytes = new TeacherBytes(vocabulary);
    const { targets, mask } = bytes.targets(ended, probs, V);
    // The token before the end, and the end.
    const out = [...ended.patchIds.keys()].filter((t) => t > 0 && [3, 4].includes(ended.patchIds[t]!)).map((t) => t - 1);
    expect([...mask.keys()].filter((t) => !mask[t] && ended.labels[t]! >= 0)).toEqual(out);
    const folded = bytes.targets(ended, probs, V, { width: 260 });
    expect([...folded.mask]).toEqual([...mask]);
    for (let t = 0; t < ended.length; t++) for (let id = 0; id < 260; id++) expect(folded.targets[t * 260 + id]).toBeCloseTo(targets[t * 520 + id]! + targets[t * 520 + 260 + id]!, 6);
  });
});
