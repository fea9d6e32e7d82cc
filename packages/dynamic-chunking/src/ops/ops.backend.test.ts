import * as tf from '@tensorflow/tfjs-core';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { backendsForTest, checkGradients, expectClose, expectNoLeak, fixtureRoot, loadCase, toTensor, useBackend } from '@bytelm/core/testing';
import { gatherRows } from '@bytelm/core';
import { boundaryProbability, compactBoundaries, confidenceGate, emaGather, emaScan } from '../index.js';

const emaCases = readdirSync(join(fixtureRoot(), 'kernels')).filter((f) => /^ema.*\.json$/.test(f)).map((f) => f.replace('.json', ''));
const random = (shape: number[], seed: number) => tf.randomNormal(shape, 0, 1, 'float32', seed);

describe.each(backendsForTest())('dynamic chunking ops on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it.each(emaCases)('fixture %s', async (name) => {
    const c = loadCase('kernels', name);
    const t = (n: string) => toTensor(c.tensors.get(n)!);
    const documentIds = c.tensors.has('in.seq_idx') ? (t('in.seq_idx') as tf.Tensor2D) : undefined;
    const run = (x: tf.Tensor, p: tf.Tensor) => emaScan(x as tf.Tensor3D, p as tf.Tensor2D, { documentIds, min: c.attrs.pmin, max: c.attrs.pmax });
    await expectClose(run(t('in.x'), t('in.p')), t('out.h'), { atol: c.tol['out.h']!, rtol: 0 });
    const [gx, gp] = tf.grads((x, p) => tf.sum(tf.mul(run(x!, p!), t('cot.h'))))([t('in.x'), t('in.p')]);
    await expectClose(gx!, t('grad.x'), { atol: c.tol['grad.x']!, rtol: 0, name: 'grad x' });
    await expectClose(gp!, t('grad.p'), { atol: c.tol['grad.p']!, rtol: 0, name: 'grad p' });
  });

  it('emaScan: finite differences with an initial state, split = whole', async () => {
    const x = random([2, 5, 3], 1) as tf.Tensor3D;
    const p = tf.randomUniform([2, 5], 0.1, 0.9, 'float32', 2) as tf.Tensor2D;
    const h0 = random([2, 3], 3) as tf.Tensor2D;
    await checkGradients((a, b, c) => emaScan(a as tf.Tensor3D, b as tf.Tensor2D, { initialState: c as tf.Tensor2D }), [x, p, h0], { names: ['x', 'p', 'h0'] });
    const whole = emaScan(x, p, { initialState: h0 });
    const first = emaScan(tf.slice(x, [0, 0, 0], [2, 2, 3]), tf.slice(p, [0, 0], [2, 2]), { initialState: h0 });
    const carried = tf.reshape(tf.slice(first, [0, 1, 0], [2, 1, 3]), [2, 3]) as tf.Tensor2D;
    const second = emaScan(tf.slice(x, [0, 2, 0], [2, 3, 3]), tf.slice(p, [0, 2], [2, 3]), { initialState: carried });
    await expectClose(tf.concat([first, second], 1), whole, { atol: 1e-6 });
  });

  it('emaGather is emaScan at the positions of each chunk, gradients included', async () => {
    const x = random([2, 4, 3], 8) as tf.Tensor3D;
    const p = tf.randomUniform([2, 4], 0.1, 0.9, 'float32', 9) as tf.Tensor2D;
    // The second row begins before its first chunk; chunks 1 and 3 of it have no position.
    const index = tf.tensor2d([[0, 0, 1, 2, 3, 3], [-1, 0, 0, 2, 2, 2]], [2, 6], 'int32');
    await expectClose(emaGather(x, p, index), gatherRows(emaScan(x, p), index), { atol: 1e-6 });
    await checkGradients((a, b) => emaGather(a as tf.Tensor3D, b as tf.Tensor2D, index), [x, p], { names: ['x', 'p'] });
  });

  it('compactBoundaries lists positions, and what each position sees', async () => {
    const mask = tf.tensor2d([[1, 0, 0, 1, 1], [0, 0, 1, 0, 0]]);
    const { index, chunk, count } = compactBoundaries(mask, 2);
    expect(index.dtype).toBe('int32');
    await expectClose(index, [0, 3, 2, -1], { atol: 0, rtol: 0 });
    await expectClose(chunk, [0, 0, 0, 1, 2, -1, -1, 0, 0, 0], { atol: 0, rtol: 0 });
    await expectClose(count, [3, 1], { atol: 0, rtol: 0 });
    expect(() => compactBoundaries(mask, 0)).toThrow(/\[compactBoundaries\] maxChunks: expected a positive whole number, got 0/);
  });

  it('boundaryProbability: extremes and finite differences', async () => {
    const q = tf.tensor2d([[1, 0], [1, 0], [1, 0], [0, 0]]);
    const k = tf.tensor2d([[1, 0], [-2, 0], [0, 3], [1, 1]]);
    await expectClose(boundaryProbability(q, k), [0, 1, 0.5, 0.5], { atol: 1e-6 });
    await checkGradients((a, b) => boundaryProbability(a, b), [random([2, 3, 4], 5), random([2, 3, 4], 6)], { names: ['q', 'k'] });
  });

  it('confidenceGate is the identity forward and multiplies by the confidence backward', async () => {
    const u = random([2, 3, 4], 7) as tf.Tensor3D;
    const p = tf.tensor2d([[0.9, 0.2, 0.6], [1, 0.1, 0.4]]);
    const mask = tf.tensor2d([[1, 0, 1], [1, 0, 0]]);
    await expectClose(confidenceGate(u, p, mask), u, { atol: 0, rtol: 0 });
    const [gu, gp] = tf.grads((a, b) => tf.sum(confidenceGate(a as tf.Tensor3D, b as tf.Tensor2D, mask)))([u, p]);
    await expectClose(gu!, tf.onesLike(u), { atol: 0 });
    const sums = tf.sum(u, -1);
    await expectClose(gp!, tf.mul(sums, tf.sub(tf.mul(mask, 2), 1)), { atol: 1e-6 });
  });

  it('names op, argument and shapes of bad input', () => {
    expect(() => emaScan(tf.zeros([1, 2, 3]), tf.zeros([1, 3]))).toThrowErrorMatchingInlineSnapshot(`[ShapeError: [emaScan] \`p\`: expected shape (B, M) = (1, 2), got (1, 3).]`);
    expect(() => boundaryProbability(tf.zeros([1, 2]), tf.zeros([1, 3]))).toThrow(/\[boundaryProbability\] `k`/);
  });

  it('does not leak', () =>
    expectNoLeak(() => {
      tf.tidy(() => {
        tf.grads((x, p) => tf.sum(emaScan(x as tf.Tensor3D, p as tf.Tensor2D)))([random([2, 5, 3], 1), tf.fill([2, 5], 0.4)]);
      });
    }));
});
