import * as tf from '@tensorflow/tfjs-core';
import { setKernelPolicy } from '@bytelm/core';
import { expectClose, useBackend } from '@bytelm/core/testing';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { attention } from './attention.js';

const T = 16384;
const D = 8;

describe('16,384 positions on webgpu', () => {
  beforeAll(() => useBackend('webgpu'));
  afterEach(() => setKernelPolicy('auto'));
  const make = (seed: number) => tf.randomNormal<tf.Rank.R4>([1, T, 1, D], 0, 1, 'float32', seed);
  const at = (t: tf.Tensor, from: number, n: number) => tf.slice(t, [0, from, 0, 0], [1, n, 1, D]) as tf.Tensor4D;
  const allocated = () => (tf.memory() as unknown as { numBytesAllocatedInGPU: number }).numBytesAllocatedInGPU;

  it('take memory for what goes in and out, not for scores', async () => {
    const [q, k, v] = [make(1), make(2), make(3)];
    const windowLeft = 127;
    await Promise.all([q, k, v].map((t) => tf.neg(t).data()));
    const before = allocated();
    const { y } = attention(q, { k, v, mask: { causal: true, windowLeft } });
    // All scores would take 1 GiB; the output takes half a MiB.
    expect(allocated() - before).toBeLessThan(2 << 20);
    setKernelPolicy('portable');
    for (const i of [0, 63, 64, 9999, T - 1]) {
      const first = Math.max(0, i - windowLeft);
      const alone = attention(at(q, i, 1), { k: at(k, first, i + 1 - first), v: at(v, first, i + 1 - first) });
      await expectClose(at(y, i, 1), alone.y, { atol: 1e-5, name: `query ${i}` });
    }
  });

  it('are all seen by the last queries', async () => {
    const [q, k, v] = [at(make(1), 0, 20), make(2), make(3)];
    const run = () => attention(q, { k, v, mask: { causal: true, queryOffset: T - 20 } });
    const { y, lse } = run();
    setKernelPolicy('portable');
    const portable = run();
    await expectClose(y, portable.y, { atol: 1e-5, name: 'y' });
    await expectClose(lse, portable.lse, { atol: 2e-5, name: 'lse' });
  });

  it('and their gradients, with a window', async () => {
    const [q, k, v, dy] = [make(1), make(2), make(3), make(4)];
    const windowLeft = 31;
    const gradients = (inputs: tf.Tensor4D[], w: tf.Tensor4D) =>
      tf.grads((a, b, c) => tf.sum(tf.mul(attention(a as tf.Tensor4D, { k: b as tf.Tensor4D, v: c as tf.Tensor4D, mask: { causal: true, windowLeft } }).y, w)))(inputs);
    await Promise.all([q, k, v, dy].map((t) => tf.neg(t).data()));
    const before = allocated();
    const all = gradients([q, k, v], dy);
    expect(allocated() - before).toBeLessThan(16 << 20);
    // A piece of the end: from its 32nd position on, windows are complete, and all queries of a key are there.
    const piece = 200;
    setKernelPolicy('portable');
    const expected = gradients([q, k, v].map((t) => at(t, T - piece, piece)), at(dy, T - piece, piece));
    const whole = piece - windowLeft;
    for (const [i, name] of ['dq', 'dk', 'dv'].entries()) {
      await expectClose(at(all[i]!, T - whole, whole), at(expected[i]!, windowLeft, whole), { atol: 2e-5, name });
    }
  });
});
