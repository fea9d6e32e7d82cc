import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectClose, expectNoLeak, useBackend, wgslOf } from '../../testing/index.js';
import { clearRows } from '../../webgpu/clear-rows.js';
import { packReport, readReport } from './report.js';

const ints = (...values: number[]) => tf.tensor1d(values, 'int32');

describe('what a recorded step tells the host', () => {
  beforeAll(() => useBackend('webgpu'));

  it('is the sampled id with a bit for each stage, −1 for a row whose logits are not finite', () =>
    expectNoLeak(async () => {
      const V = 70;
      const values = new Float32Array(4 * V).fill(1);
      values[1 * V + 69] = NaN;
      values[3 * V] = -Infinity;
      const [logits, ids, outer, inner] = [tf.tensor2d(values, [4, V]), ints(5, 6, 69, 0), ints(1, 1, 0, 1), ints(1, 0, 0, 1)];
      const words = packReport(logits, ids, [outer, inner]);
      const reports = Array.from(await words.data(), (w) => readReport(w, 2));
      // A stage inside runs where the outer one fired.
      expect(reports).toEqual([{ id: 5, fired: [1, 1] }, { id: -1, fired: [] }, { id: 69, fired: [0, -1] }, { id: -1, fired: [] }]);
      expect(wgslOf(() => packReport(logits, ids, [outer, inner]))).toMatchSnapshot();
      tf.dispose([logits, ids, outer, inner, words]);
    }));

  it('clears rows of states of different widths in one dispatch', () =>
    expectNoLeak(async () => {
      const [a, b, fresh] = [tf.ones([3, 2, 5]), tf.ones([3, 1]), ints(0, 1, 0)];
      expect(wgslOf(() => clearRows([a, b], fresh) as never)).toMatchSnapshot();
      await expectClose(a, Float32Array.from({ length: 30 }, (_, i) => Number(i < 10 || i >= 20)), { atol: 0 });
      await expectClose(b, Float32Array.of(1, 0, 1), { atol: 0 });
      tf.dispose([a, b, fresh]);
    }));
});
