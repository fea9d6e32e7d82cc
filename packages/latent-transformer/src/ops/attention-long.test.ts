import * as tf from '@tensorflow/tfjs-core';
import { setKernelPolicy, wasmHeap } from '@bytelm/core';
import { expectClose, useBackend } from '@bytelm/core/testing';
import { expect, it } from 'vitest';
import { attention } from './attention.js';

it('16,384 positions on wasm take memory for what goes in and out, not for scores', async () => {
  await useBackend('wasm');
  const T = 16384;
  const make = (seed: number) => tf.randomNormal<tf.Rank.R4>([1, T, 1, 16], 0, 1, 'float32', seed);
  const [q, k, v] = [make(1), make(2), make(3)];
  const heap = wasmHeap(tf.backend() as never)!;
  const before = heap.memory.buffer.byteLength;
  const { y } = attention(q, { k, v, mask: { causal: true } });
  // All scores would take 1 GiB; the output takes 1 MiB.
  expect(heap.memory.buffer.byteLength - before).toBeLessThan(16 << 20);
  setKernelPolicy('naive');
  for (const i of [0, 63, 64, 9999, T - 1]) {
    const at = (t: tf.Tensor4D, from: number, n: number) => tf.slice(t, [0, from, 0, 0], [1, n, 1, 16]);
    const alone = attention(at(q, i, 1), { k: at(k, 0, i + 1), v: at(v, 0, i + 1) });
    await expectClose(at(y, i, 1), alone.y, { atol: 1e-5, name: `query ${i}` });
  }
  setKernelPolicy('auto');
});
