import { ConfigError } from '@bytelm/core';
import { HASH_PRIMES } from './primes.js';

/** Which n-grams are hashed, and into how many buckets. */
export interface HashNgramOptions {
  /** Lengths of the n-grams in bytes, each once. BLT: 3 to 8. */
  sizes: readonly number[];
  /** Hash functions for every size, at most 11. Default 1. */
  numFunctions?: number | undefined;
  /** Buckets of every table. BLT: 500002. */
  vocabularySize: number;
}

/** int32 indices, and buckets that float32 device code can still tell apart. */
export const MAX_VOCABULARY = 2 ** 24;
const MAX_SIZE = 256;

/** Number of tables: one for each function and size. */
export const countTables = ({ sizes, numFunctions = 1 }: HashNgramOptions): number => sizes.length * numFunctions;

/** Bytes before a position that its hashes look at. */
export const historyOf = ({ sizes }: HashNgramOptions): number => Math.max(...sizes) - 1;

/** @throws ConfigError listing every problem. */
export function checkHashOptions(where: string, { sizes, numFunctions = 1, vocabularySize }: HashNgramOptions): void {
  const problems: string[] = [];
  const isWhole = (n: number, low: number, high: number) => Number.isInteger(n) && n >= low && n <= high;
  if (!Array.isArray(sizes) || sizes.length === 0) problems.push(`sizes: expected a list of n-gram lengths such as [3, 4, 5], got ${JSON.stringify(sizes)}`);
  else {
    const bad = sizes.filter((n) => !isWhole(n, 1, MAX_SIZE));
    if (bad.length) problems.push(`sizes: expected whole numbers from 1 to ${MAX_SIZE}, got ${bad.join(', ')}`);
    if (new Set(sizes).size !== sizes.length) problems.push(`sizes: expected each length once, got ${sizes.join(', ')}`);
  }
  if (!isWhole(numFunctions, 1, HASH_PRIMES.length)) problems.push(`numFunctions: expected 1 to ${HASH_PRIMES.length}, one prime each, got ${numFunctions}`);
  if (!isWhole(vocabularySize, 1, MAX_VOCABULARY)) problems.push(`vocabularySize: expected 1 to ${MAX_VOCABULARY}, got ${vocabularySize}`);
  if (problems.length) throw new ConfigError(`[${where}] ${problems.join('; ')}. Hint: BLT uses sizes 3 to 8, 1 function and 500002 buckets.`);
}
