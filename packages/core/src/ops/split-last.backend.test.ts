import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { backendsForTest, checkGradients, expectClose, expectNoLeak, useBackend } from '../testing/index.js';
import { splitLast } from './split-last.js';

describe.each(backendsForTest())('splitLast on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it.each([
    [[5, 7], [3, 1, 3]],
    [[2, 3, 130], [1, 65, 64]],
    [[1, 4], [4]],
  ])('parts of %j by %j are those of tf.split, and so are gradients', async (shape, sizes) => {
    const x = tf.randomNormal(shape, 0, 1, 'float32', 3);
    const parts = splitLast(x, sizes);
    const want = sizes.length === 1 ? [x] : tf.split(x, sizes, shape.length - 1);
    for (let i = 0; i < sizes.length; i++) await expectClose(parts[i]!, want[i]!, { atol: 0, rtol: 0 });
    await checkGradients((a) => splitLast(a, sizes), [x]);
  });

  it('refuses widths that do not sum to the axis', () => {
    expect(() => splitLast(tf.zeros([2, 5]), [2, 2])).toThrow('[splitLast] `sizes`: expected 1 to 8 positive widths that sum to 5, the last axis of x (2, 5), got [2, 2].');
  });

  it('does not leak', () =>
    expectNoLeak(() => {
      tf.tidy(() => {
        tf.grad((x) => tf.sum(tf.mul(splitLast(x, [2, 3])[1]!, 2)))(tf.ones([4, 5]));
      });
    }));
});
