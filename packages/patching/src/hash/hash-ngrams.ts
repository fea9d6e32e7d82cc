import { checkShape, ConfigError, DataError } from '@bytelm/core';
import type * as tf from '@tensorflow/tfjs-core';
import type { HashNgramAttrs } from '../kernels/hash-ngrams/attrs.js';
import { eachHash, hashNgramsOnHost } from '../kernels/hash-ngrams/limbs.js';
import { hashNgramsOp } from '../kernels/hash-ngrams/op.js';
import { checkHashOptions, type HashNgramOptions } from './hash-options.js';
import { HASH_PRIMES } from './primes.js';

export interface HashNgramCallOptions extends HashNgramOptions {
  /** Leading ids of each row that are looked at but get no hashes of their own. Default 0: rows begin, ids before them are zeros. */
  history?: number | undefined;
}

/**
 * Buckets of the n-grams that end at every position, exact on every backend:
 * `(Σ_j id[t−n+1+j]·a^j in wrapping signed 64-bit) mod vocabularySize`, with a result in 0..vocabularySize−1; ids before the row are 0.
 * Hashes cross document borders.
 *
 * @param ids (B, L) int32 token ids (bytes + 4 in BLT), not negative.
 * @returns (T, B, L − history) int32; table order: for each function, for each size. Not differentiable.
 * @throws ShapeError, ConfigError.
 * @source Byte Latent Transformer (arXiv 2412.09871) as facebookresearch/blt computes it: oldest byte times a⁰, no normalisation.
 * @example
 * const buckets = hashNgramIds(ids, { sizes: [3, 4, 5, 6, 7, 8], vocabularySize: 500002 }); // (6, B, L)
 */
export function hashNgramIds(ids: tf.Tensor2D, options: HashNgramCallOptions): tf.Tensor3D {
  const attrs = checked('hashNgramIds', options);
  const { L } = checkShape('hashNgramIds', ids, 'ids', '(B, L)', {}, 'int32');
  checkHistory('hashNgramIds', attrs.history, L!);
  return hashNgramsOp({ ids }, attrs)[0] as tf.Tensor3D;
}

/**
 * The same on the host, without any backend.
 * @param ids (B*L) row-major. @param length L.
 * @returns (T, B, L − history) row-major.
 * @throws ConfigError; DataError for a negative id.
 */
export function hashNgramIdsOnHost(ids: Int32Array, length: number, options: HashNgramCallOptions): Int32Array {
  const attrs = checked('hashNgramIdsOnHost', options);
  checkHistory('hashNgramIdsOnHost', attrs.history, length);
  if (length < 1 || ids.length % length) throw new DataError(`[hashNgramIdsOnHost] expected whole rows of ${length} ids, got ${ids.length} ids.`);
  const bad = ids.findIndex((id) => id < 0);
  if (bad >= 0) throw new DataError(`[hashNgramIdsOnHost] id ${ids[bad]} at position ${bad}: expected ids that are not negative.`);
  return hashNgramsOnHost(ids, [ids.length / length, length], attrs);
}

/** The raw signed 64-bit hash of the n-gram that ends at each position of one row, e.g. to compare with another implementation. */
export function rawNgramHashes(ids: Int32Array, options: { size: number; function?: number }): BigInt64Array {
  const index = options.function ?? 0;
  checkHashOptions('rawNgramHashes', { sizes: [options.size], numFunctions: index + 1, vocabularySize: 1 });
  const words = new Uint32Array(2 * ids.length);
  for (let t = 0; t < ids.length; t++)
    eachHash(ids, 0, t, options.size, HASH_PRIMES[index]!, (_, high, low) => {
      words[2 * t] = low;
      words[2 * t + 1] = high;
    });
  return BigInt64Array.from({ length: ids.length }, (_, t) => (BigInt(words[2 * t + 1]! | 0) << 32n) | BigInt(words[2 * t]!));
}

function checked(where: string, { sizes, numFunctions = 1, vocabularySize, history = 0 }: HashNgramCallOptions): HashNgramAttrs {
  checkHashOptions(where, { sizes, numFunctions, vocabularySize });
  return { sizes, numFunctions, vocabularySize, history };
}

function checkHistory(where: string, history: number, length: number): void {
  if (!(Number.isInteger(history) && history >= 0 && history <= length)) {
    throw new ConfigError(`[${where}] history: expected 0 to ${length}, the length of a row, got ${history}.`);
  }
}
