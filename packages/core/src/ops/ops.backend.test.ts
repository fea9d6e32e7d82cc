import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { BytelmError, crossEntropy, embedding, gatherRows, linear, linearCrossEntropy, matMul, rmsNorm, rmsNormGated, addRmsNorm, scan, segmentPool, silu, splitSwiglu, swiglu } from '../index.js';
import { backendsForTest, checkGradients, expectClose, expectNoLeak, useBackend } from '../testing/index.js';

let seed = 40;
const random = (...shape: number[]) => tf.randomUniform(shape, -1, 1, 'float32', ++seed);
const int = (values: number[], shape: number[] = [values.length]) => tf.tensor(values, shape, 'int32');

/** Runs in a scope of its own: everything made inside is freed. */
async function scoped(f: () => Promise<unknown>): Promise<void> {
  tf.engine().startScope();
  try {
    await f();
  } finally {
    tf.engine().endScope();
  }
}

/** The message of the error that `f` throws. */
function messageOf(f: () => unknown): string {
  try {
    f();
  } catch (e) {
    expect(BytelmError.is(e)).toBe(true);
    return (e as Error).message;
  }
  throw new Error('nothing was thrown');
}

describe.each(backendsForTest())('core ops on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  describe('finite differences', () => {
    const ids = [0, 2, 1, 2];
    const gradients: Record<string, () => [(...x: any[]) => tf.Tensor | tf.Tensor[], tf.Tensor[]]> = {
      matMul: () => [(a, b) => matMul(a, b, { transposeA: true, transposeB: true }), [random(2, 3, 2), random(2, 4, 3)]],
      'matMul, shared b': () => [(a, b) => matMul(a, b, { transposeB: true }), [random(2, 2, 3), random(4, 3)]],
      linear: () => [(x, w, b) => linear(x, w, b), [random(2, 2, 3), random(4, 3), random(4)]],
      gatherRows: () => [(x) => gatherRows(x, int([2, -1, 0, 0], [2, 2])), [random(2, 3, 2)]],
      embedding: () => [(t) => embedding(t, int(ids, [2, 2])), [random(4, 3)]],
      rmsNorm: () => [(x, w) => rmsNorm(x, w, { eps: 0.1 }), [random(2, 5), random(5)]],
      addRmsNorm: () => [(x, r, w) => Object.values(addRmsNorm(x, r, w, { eps: 0.1 })), [random(2, 3), random(2, 3), random(3)]],
      rmsNormGated: () => [(x, z, w) => rmsNormGated(x, z, w, { eps: 0.1, groupSize: 2 }), [random(2, 4), random(2, 4), random(4)]],
      'rmsNormGated, norm first': () => [(x, z, w) => rmsNormGated(x, z, w, { eps: 0.1, normBeforeGate: true }), [random(2, 4), random(2, 4), random(4)]],
      silu: () => [(x) => silu(x), [random(3, 2)]],
      swiglu: () => [(g, u) => swiglu(g, u), [random(3, 2), random(3, 2)]],
      splitSwiglu: () => [(x) => splitSwiglu(x, { order: 'value-gate' }), [random(2, 6)]],
      crossEntropy: () => [(x) => crossEntropy(x, int([1, -100, 0]), { zLoss: 0.1 }), [random(3, 4)]],
      linearCrossEntropy: () => [(h, w) => linearCrossEntropy(h, w, int([1, -100, 0]), { reduction: 'none' }), [random(3, 2), random(4, 2)]],
      scan: () => [(b, a, h) => Object.values(scan(b, a, { initialState: h, documentIds: int([0, 0, 1, 1], [1, 4]) })), [random(1, 4, 2), random(1, 4), random(1, 2)]],
      'scan per channel, reversed': () => [
        (b, a, h) => Object.values(scan(b, a, { initialState: h, reverse: true, lengths: int([2, 3]) })),
        [random(2, 3, 2), random(2, 3, 2), random(2, 2)],
      ],
      'segmentPool max': () => [(x) => segmentPool(x, int([-1, 0, 0, 1, 1, 1], [1, 6]), 3, 'max'), [random(1, 6, 2)]],
      'segmentPool mean': () => [(x) => segmentPool(x, int([0, 0, 0, 2, 2, -1], [1, 6]), 3, 'mean'), [random(1, 6, 2)]],
    };
    it.each(Object.keys(gradients))('%s', (name) =>
      scoped(async () => {
        const [f, inputs] = gradients[name]();
        await checkGradients(f, inputs);
      }),
    );
  });

  it('gives zeros for an empty inner size and for empty batches', () =>
    scoped(async () => {
      await expectClose(matMul(tf.zeros([2, 3, 0]), tf.zeros([2, 0, 4])), tf.zeros([2, 3, 4]), { atol: 0 });
      expect(matMul(tf.zeros([0, 3, 2]), tf.zeros([2, 4])).shape).toEqual([0, 3, 4]);
      const [dx, dw] = tf.grads((x, w) => linear(x, w))([tf.zeros([0, 3]), tf.ones([2, 3])], tf.zeros([0, 2]));
      expect(dx.shape).toEqual([0, 3]);
      await expectClose(dw, tf.zeros([2, 3]), { atol: 0 });
    }));

  it('accepts scalars and vectors in elementwise ops, also of odd sizes', () =>
    scoped(async () => {
      await expectClose(silu(tf.scalar(2)), [2 / (1 + Math.exp(-2))]);
      await expectClose(swiglu(tf.tensor1d([1, -2, 3, -4, 5]), tf.ones([5])), [1, -2, 3, -4, 5].map((v) => v / (1 + Math.exp(-v))));
    }));

  it('keeps infinities and NaN visible', () =>
    scoped(async () => {
      const values = await silu(tf.tensor1d([NaN, -200, 200])).data();
      expect(values[0]).toBeNaN();
      expect(Math.abs(values[1])).toBeLessThan(1e-30);
      expect(values[2]).toBe(200);
      expect((await crossEntropy(tf.tensor2d([[1, NaN, 2]]), int([0])).data())[0]).toBeNaN();
      expect((await rmsNorm(tf.tensor2d([[1, NaN]]), tf.ones([2])).data())[0]).toBeNaN();
    }));

  it('shares one state across split scans', () =>
    scoped(async () => {
      const [b, a] = [random(2, 9, 3), random(2, 9)];
      const whole = scan(b, a);
      const first = scan(tf.slice(b, [0, 0, 0], [2, 4, 3]), tf.slice(a, [0, 0], [2, 4]));
      const second = scan(tf.slice(b, [0, 4, 0], [2, 5, 3]), tf.slice(a, [0, 4], [2, 5]), { initialState: first.finalState });
      await expectClose(tf.concat([first.y, second.y], 1), whole.y, { atol: 1e-6 });
      await expectClose(second.finalState, whole.finalState, { atol: 1e-6 });
    }));

  it('names the argument, both shapes and a way out', () =>
    scoped(async () => {
      expect(messageOf(() => matMul(tf.zeros([2, 3]), tf.zeros([4, 5])))).toBe(
        '[matMul] expected equal inner sizes (..., m, k) x (..., k, n), got a (2, 3) and b (4, 5). Hint: check transposeA and transposeB.',
      );
      expect(messageOf(() => matMul(tf.zeros([2, 2, 3]), tf.zeros([3, 3, 3])))).toContain('equal leading axes, or b with two axes');
      expect(messageOf(() => matMul(tf.zeros([3]), tf.zeros([3, 3])))).toContain('rank 2 or more');
      expect(messageOf(() => matMul(tf.zeros([1, 3], 'int32'), tf.zeros([3, 3])))).toContain('expected dtype float32, got int32');
      expect(messageOf(() => linear(tf.zeros([2, 3]), tf.zeros([4, 5])))).toContain('[linear] `weight`: expected shape (N, K) = (N, 3), got (4, 5)');
      expect(messageOf(() => rmsNorm(tf.zeros([2, 6]), tf.zeros([6]), { groupSize: 4 }))).toContain('`groupSize`: expected a positive divisor of D = 6, got 4');
      expect(messageOf(() => rmsNormGated(tf.zeros([2, 6]), tf.zeros([2, 5]), tf.zeros([6])))).toContain('`gate`: expected shape (2, 6), got (2, 5)');
      expect(messageOf(() => gatherRows(tf.zeros([2, 6, 1]), tf.zeros([2, 5])))).toContain('`idx`: expected dtype int32, got float32');
      expect(messageOf(() => splitSwiglu(tf.zeros([2, 5]), { order: 'value-gate' }))).toContain('expected an even last axis, got (2, 5)');
      expect(messageOf(() => crossEntropy(tf.zeros([2, 5]), int([1])))).toContain('`labels`: expected shape (N) = (2), got (1)');
      expect(messageOf(() => scan(tf.zeros([1, 2, 3]), tf.zeros([1, 3])))).toContain('[scan] `a`: expected shape (B, L) = (1, 2), got (1, 3)');
      expect(messageOf(() => segmentPool(tf.zeros([1, 2, 3]), int([0, 0], [1, 2]), -1, 'max'))).toContain('whole number of segments, got -1');
    }));

  it.skipIf(backend === 'webgpu' || backend === 'tensorflow')('refuses ids and labels that do not exist, and leaks nothing', () =>
    expectNoLeak(() =>
      scoped(async () => {
        const dataIds = () => tf.engine().backend.numDataIds();
        const [ids, labels] = [int([0, 9], [1, 2]), int([1, -7])];
        const [table, logits] = [tf.zeros([4, 2]), tf.zeros([2, 3])];
        const before = dataIds();
        expect(messageOf(() => embedding(table, ids))).toContain('[embedding] expected ids from 0 to 3, got 9 at position 1');
        expect(messageOf(() => crossEntropy(logits, labels))).toContain('expected labels from 0 to 2 or -100 (ignored), got -7 at row 1');
        expect(messageOf(() => linearCrossEntropy(table, tf.ones([3, 2]), int([1, 1, 5, 0])))).toContain('got 5 at row 2');
        expect(dataIds() - before).toBe(2);
      }),
    ),
  );
});
