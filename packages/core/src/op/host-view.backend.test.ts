import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { putRows, takeRows, zeroRows } from '../module/rows.js';
import { backendsForTest, expectNoLeak, useBackend } from '../testing/index.js';
import { setKernelPolicy } from './define-op.js';
import { hostState, hostTensor, hostValues } from './host-view.js';
import { wasmHeap } from './wasm-kernel.js';

describe.each(backendsForTest())('tensors on the host, %s', (backend) => {
  beforeAll(() => useBackend(backend));
  const onHost = backend === 'wasm' || backend === 'cpu';

  it('shows the memory of a tensor where it lies on the host', () => {
    const t = tf.tensor2d([1, 2, 3, 4], [2, 2]);
    expect(hostValues(t) && [...hostValues(t)!]).toEqual(onHost ? [1, 2, 3, 4] : undefined);
    expect(hostValues(tf.tensor1d([1], 'int32'))).toBeUndefined();
  });

  it('gives a state only to its sole owner', () => {
    const t = tf.tensor1d([1, 2]);
    expect(hostState(t) !== undefined).toBe(onHost);
    const shared = tf.clone(t);
    expect(hostState(t)).toBeUndefined();
    shared.dispose();
    expect(hostState(t) !== undefined).toBe(onHost);
  });

  it('makes tensors that scopes free', async () => {
    await expectNoLeak(() => {
      tf.tidy(() => {
        hostTensor([3], (v) => v.fill(1));
      });
    });
  });

  it('takes, puts and clears rows as gathers do', async () => {
    const t = tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2]);
    const values = tf.tensor2d([9, 8], [1, 2]);
    const all = async () => [await takeRows(t, [0, 2]).data(), await putRows(t, [1], values).data(), await zeroRows(tf.clone(t), [0, 2]).data()].map((v) => [...v]);
    const wanted = [[1, 2, 5, 6], [1, 2, 9, 8, 5, 6], [0, 0, 3, 4, 0, 0]];
    expect(await all()).toEqual(wanted);
    setKernelPolicy('portable');
    try {
      expect(await all()).toEqual(wanted);
    } finally {
      setKernelPolicy('auto');
    }
    const ids = tf.tensor2d([1, 2, 3, 4], [2, 2], 'int32');
    const taken = takeRows(ids, [1]);
    expect([taken.dtype, ...(await taken.data())]).toEqual(['int32', 3, 4]);
    const put = putRows(ids, [0], tf.tensor2d([9, 8], [1, 2], 'int32'));
    expect([put.dtype, ...(await put.data())]).toEqual(['int32', 9, 8, 3, 4]);
    const zeroed = zeroRows(ids, [1]);
    expect([zeroed.dtype, ...(await zeroed.data())]).toEqual(['int32', 1, 2, 0, 0]);
  });

  it.runIf(backend === 'wasm')('puts tensors on cache lines and frees what it took', () => {
    const heap = wasmHeap(tf.backend() as never)!;
    const made = [3, 17, 100, 5000].map((n) => tf.ones([n]));
    expect(made.map((t) => heap.offset(t) % 64)).toEqual([0, 0, 0, 0]);
    tf.dispose(made);
    const before = heap.memory.buffer.byteLength;
    for (let i = 0; i < 3000; i++) tf.ones([10_000 + i]).dispose();
    expect(heap.memory.buffer.byteLength - before).toBeLessThan(2 ** 22);
  });
});
