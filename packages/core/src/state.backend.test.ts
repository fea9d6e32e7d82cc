import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { putRows, takeRows } from './module/rows.js';
import { cloneState, disposeState } from './state.js';
import { backendsForTest, useBackend } from './testing/backends.js';
import { expectClose, expectNoLeak } from './testing/expect.js';

describe.each(backendsForTest())('decoding states on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it('clones have their own memory and are freed on their own', async () => {
    await expectNoLeak(async () => {
      const state = { layers: [{ k: tf.tensor2d([[1, 2]]), n: tf.tensor1d([3], 'int32'), none: null }], lengths: Int32Array.of(4), label: 'x' };
      const copy = cloneState(state);
      expect(copy.layers[0]!.k.dataId).not.toBe(state.layers[0]!.k.dataId);
      state.lengths[0] = 9;
      disposeState(state);
      await expectClose(copy.layers[0]!.k, [1, 2]);
      await expectClose(copy.layers[0]!.n, [3]);
      expect(copy).toMatchObject({ lengths: Int32Array.of(4), label: 'x' });
      disposeState(copy);
    });
  });

  it('takes and puts rows', async () => {
    const t = tf.tensor2d([[1, 1], [2, 2], [3, 3]]);
    await expectClose(takeRows(t, [0, 2]), [1, 1, 3, 3]);
    await expectClose(putRows(t, [0, 2], tf.tensor2d([[7, 7], [9, 9]])), [7, 7, 2, 2, 9, 9]);
    await expectClose(putRows(t, undefined, tf.ones([3, 2])), [1, 1, 1, 1, 1, 1]);
  });
});
