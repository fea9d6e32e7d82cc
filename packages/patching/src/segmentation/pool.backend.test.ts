import { backendsForTest, checkGradients, expectClose, useBackend } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, it } from 'vitest';
import { segmentationFromLengths } from './convert.js';
import { segmentGather, segmentMax, segmentMean } from './pool.js';

describe.each(backendsForTest())('pooling of patches on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it('takes closed patches, and gives each byte the last one', async () => {
    const seg = segmentationFromLengths([[1, 2, 3], [1, 1, 1, 3]]);
    const x = tf.tensor3d([1, 5, 3, 9, 9, -1, -2, -3, 9, 9], [2, 5, 1]);
    await expectClose(segmentMax(x, seg), [1, 5, 0, -1, -2, -3]);
    await expectClose(segmentMean(x, seg), [1, 4, 0, -1, -2, -3]);
    await expectClose(segmentGather(tf.tensor3d([1, 2, 3, 4, 5, 6], [2, 3, 1]), seg), [1, 1, 2, 2, 2, 4, 5, 6, 6, 6]);
    const random = tf.randomUniform<tf.Rank.R3>([2, 5, 2], -2, 2, 'float32', 5);
    for (const pool of [segmentMax, segmentMean]) await checkGradients((y) => pool(y as tf.Tensor3D, seg), [random]);
    await checkGradients((y) => segmentGather(y as tf.Tensor3D, seg), [tf.slice(random, [0, 0, 0], [2, 3, 2])]);
    seg.dispose();
  });
});
