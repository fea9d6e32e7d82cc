import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { filteredProbabilities, pick } from '../generate/sampling.js';
import { setKernelPolicy } from '../op/define-op.js';
import { backendsForTest, expectNoLeak, loadCase, toTensor, useBackend } from '../testing/index.js';
import { sampleIds } from './sample-ids.js';

describe.each(backendsForTest())('sampleIds on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  describe.each(['auto', 'portable'] as const)('policy %s', (policy) => {
    const c = loadCase('kernels', 'sampling');
    it.each(Object.entries(c.attrs.settings as Record<string, any>))('golden setting %s', (name, s) =>
      expectNoLeak(async () => {
        const [logits, draws] = ['in.logits', 'in.u'].map((n) => toTensor(c.tensors.get(n)!));
        setKernelPolicy(policy);
        const ids = sampleIds(logits!, draws!, { temperature: s.temperature, topK: s.top_k, topP: s.top_p });
        setKernelPolicy('auto');
        expect([...(await ids.data())]).toEqual([...c.tensors.get(`out.id_${name}`)!.values]);
        tf.dispose([logits!, draws!, ids]);
      }),
    );
  });

  it.each([1, 64, 255, 1000])('draws from %i classes what the host draws, the best one greedily, lower ids first among equals', (classes) =>
    expectNoLeak(async () => {
      const rows = 6;
      // On a coarse grid: ties. Draws lie between the steps of the distribution, where rounding decides nothing.
      const logits = tf.tidy(() => tf.div(tf.round(tf.randomNormal([rows, classes], 0, 4, 'float32', classes)), 2));
      const values = (await logits.data()) as Float32Array;
      const draws = tf.tensor1d([0, 0.123, 0.37, 0.5511, 0.79, 0.99]);
      const us = await draws.data();
      for (const options of [{ temperature: 0 }, { topK: 7, temperature: 1.3 }, { topP: 0.83 }]) {
        const ids = sampleIds(logits, draws, options);
        const want = Array.from({ length: rows }, (_, r) => pick(filteredProbabilities(values.subarray(r * classes, (r + 1) * classes), options), us[r]!));
        expect([...(await ids.data())]).toEqual(want);
        ids.dispose();
      }
      tf.dispose([logits, draws]);
    }),
  );

  it('says what does not fit', () => {
    expect(() => sampleIds(tf.ones([2, 3]), tf.ones([3]))).toThrow('[sampleIds] `draws`: expected shape (B) = (2), got (3)');
    expect(() => sampleIds(tf.ones([2, 3]), tf.ones([2]), { topP: 0 })).toThrow('topP 0: expected a number above 0, at most 1');
  });
});
