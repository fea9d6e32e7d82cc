import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixtureRoot } from '@bytelm/core/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashNgramsNaive } from '../kernels/hash-ngrams/naive.js';
import { hashNgramIdsOnHost, rawNgramHashes } from './hash-ngrams.js';
import { HASH_PRIMES } from './primes.js';

const golden = (name: string) => JSON.parse(readFileSync(join(fixtureRoot(), 'blt/hash', `${name}.json`), 'utf8'));

describe('hashes on the host', () => {
  it('raw 64-bit hashes and buckets of the golden cases', () => {
    for (const c of golden('ngram_ids')) {
      const ids = Int32Array.from(c.ids);
      expect([...rawNgramHashes(ids, { size: c.n, function: c.function })].map(String)).toEqual(c.raw_int64);
      const buckets = hashNgramIdsOnHost(ids, ids.length, { sizes: [c.n], numFunctions: c.function + 1, vocabularySize: c.vocab });
      expect([...buckets.subarray(c.function * ids.length)]).toEqual(c.bucket);
    }
  });

  it('wrapped powers of every prime', () => {
    for (const { function: f, prime, powers } of golden('prime_powers_int64')) {
      expect(HASH_PRIMES[f]).toBe(prime);
      // An n-gram of zeros and a one at its end is a^(n−1).
      powers.forEach((p: string, k: number) => expect(String(rawNgramHashes(Int32Array.of(1), { size: k + 1, function: f })[0])).toBe(p));
    }
  });

  it('equals BigInt arithmetic for any ids, sizes and tables', () =>
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 2147483647 }), { minLength: 6, maxLength: 24 }),
        fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 2 ** 24 }),
        fc.integer({ min: 1, max: 11 }),
        (list, sizes, vocabularySize, numFunctions) => {
          const ids = Int32Array.from(list);
          const attrs = { sizes, numFunctions, vocabularySize, history: 2 };
          expect([...hashNgramIdsOnHost(ids, ids.length, attrs)]).toEqual([...hashNgramsNaive(ids, [1, ids.length], attrs)]);
        },
      ),
      { numRuns: 50 },
    ));

  it('says what is wrong', () => {
    const ids = Int32Array.of(1, 2, 3);
    const call = (options: object) => () => hashNgramIdsOnHost(ids, 3, { sizes: [3], vocabularySize: 10, ...options });
    expect(call({ sizes: [0, 3] })).toThrow('[hashNgramIdsOnHost] sizes: expected whole numbers from 1 to 256, got 0.');
    expect(call({ sizes: [] })).toThrow('sizes: expected a list of n-gram lengths such as [3, 4, 5], got [].');
    expect(call({ sizes: [3, 3] })).toThrow('sizes: expected each length once, got 3, 3.');
    expect(call({ numFunctions: 12 })).toThrow('numFunctions: expected 1 to 11, one prime each, got 12.');
    expect(call({ vocabularySize: 2 ** 24 + 1 })).toThrow('vocabularySize: expected 1 to 16777216, got 16777217.');
    expect(call({ history: 4 })).toThrow('history: expected 0 to 3, the length of a row, got 4.');
    expect(() => hashNgramIdsOnHost(Int32Array.of(1, -1, 3), 3, { sizes: [3], vocabularySize: 10 })).toThrow('id -1 at position 1: expected ids that are not negative.');
    expect(() => hashNgramIdsOnHost(ids, 2, { sizes: [3], vocabularySize: 10 })).toThrow('expected whole rows of 2 ids, got 3 ids.');
  });
});
