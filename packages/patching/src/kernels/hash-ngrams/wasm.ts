import { wasmKernel } from '@bytelm/core';
import binary from '../../generated/hash-ngrams.wasm.js';
import { HASH_PRIMES } from '../../hash/primes.js';
import { hashShape, slotsOf, type HashNgramAttrs } from './attrs.js';

/** Functions of as/hash-ngrams.ts. */
interface Lib {
  hashNgrams(
    batch: number, length: number, history: number, functions: number, sizes: number, most: number, vocabulary: number,
    primes: number, slots: number, ids: number, y: number,
  ): void;
}

export const wasmHashNgrams = wasmKernel<'ids', HashNgramAttrs, Lib>(binary, ({ inputs: { ids }, attrs, heap, lib }) => {
  const { sizes, numFunctions, vocabularySize, history } = attrs;
  const [batch, length] = ids!.shape as [number, number];
  const y = heap.output(hashShape(ids!.shape, attrs), 'int32');
  const slots = slotsOf(sizes);
  const scratch = heap.scratch(8 * numFunctions + 4 * slots.length);
  const table = scratch + 8 * numFunctions;
  const primes = heap.i32(scratch, 2 * numFunctions);
  for (let f = 0; f < numFunctions; f++) {
    primes[2 * f] = HASH_PRIMES[f]! | 0;
    primes[2 * f + 1] = Math.floor(HASH_PRIMES[f]! / 0x100000000);
  }
  heap.i32(table, slots.length).set(slots);
  lib.hashNgrams(batch, length, history, numFunctions, sizes.length, slots.length - 1, vocabularySize, scratch, table, heap.offset(ids), heap.offset(y));
  return [y];
});
