import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setKernelPolicy } from '@bytelm/core';
import { backendsForTest, expectNoLeak, fixtureRoot, loadCase, toTensor, useBackend } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hashNgramsNaive } from '../kernels/hash-ngrams/naive.js';
import { hashNgramIds } from './hash-ngrams.js';
import { HASH_PRIMES } from './primes.js';

/** The place of an n-gram length within the buckets of one function. */
interface NgramCase {
  ids: number[];
  n: number;
  function: number;
  vocab: number;
  bucket: number[];
}

describe.each(backendsForTest())('hash n-grams on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  afterEach(() => setKernelPolicy('auto'));

  it('golden case kernels/hash_ngrams', async () => {
    const { tensors, attrs } = loadCase('kernels', 'hash_ngrams');
    expect(attrs.primes.map(Number)).toEqual(HASH_PRIMES);
    await expectNoLeak(async () => {
      const ids = toTensor(tensors.get('in.ids')!) as tf.Tensor2D;
      const sizes = [3, 4, 5, 6, 7, 8];
      const all = hashNgramIds(ids, { sizes, numFunctions: 11, vocabularySize: attrs.table });
      const values = await all.data();
      for (const [name, golden] of tensors) {
        const [, f, n] = /^out\.hash_f(\d+)_g(\d+)$/.exec(name) ?? [];
        if (f === undefined) continue;
        const at = (Number(f) * sizes.length + sizes.indexOf(Number(n))) * ids.size;
        expect([...values.subarray(at, at + ids.size)], name).toEqual([...golden.values]);
      }
      tf.dispose([ids, all]);
    });
  });

  it('golden cases blt/hash/ngram_ids', async () => {
    const cases = JSON.parse(readFileSync(join(fixtureRoot(), 'blt/hash/ngram_ids.json'), 'utf8')) as NgramCase[];
    for (const c of backend === 'webgpu' ? cases.slice(0, 12) : cases) {
      const ids = tf.tensor2d(c.ids, [1, c.ids.length], 'int32');
      const buckets = hashNgramIds(ids, { sizes: [c.n], numFunctions: c.function + 1, vocabularySize: c.vocab });
      expect([...(await buckets.data()).subarray(c.function * c.ids.length)]).toEqual(c.bucket);
      tf.dispose([ids, buckets]);
    }
  });

  // Table sizes of 1 to 24 bits: remainders by powers of two, primes and the largest that is allowed.
  it.each([1, 2, 97, 65536, 500002, 2 ** 24 - 3, 2 ** 24])('equals BigInt arithmetic with %i buckets', async (vocabularySize) => {
    const [B, L, history] = [2, 37, 5];
    const ids = Int32Array.from({ length: B * L }, (_, i) => (i * 7919) % 260);
    ids.set([2147483647, 0, 0, 2147483647], 20);
    const attrs = { sizes: [8, 1, 3], numFunctions: 7, vocabularySize, history };
    const x = tf.tensor2d(ids, [B, L], 'int32');
    const y = hashNgramIds(x, attrs);
    expect(y.shape).toEqual([21, B, L - history]);
    expect([...(await y.data())]).toEqual([...hashNgramsNaive(ids, [B, L], attrs)]);
    tf.dispose([x, y]);
  });
});
