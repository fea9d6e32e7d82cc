import { HASH_PRIMES } from '../../hash/primes.js';
import { hashShape, type HashNgramAttrs } from './attrs.js';

/** The hash of the n-gram that ends at `at`, as the definition says: Σ id[at−n+1+j]·a^j in wrapping signed 64-bit, zeros before the start. */
export function ngramHash(ids: ArrayLike<number>, at: number, n: number, prime: bigint): bigint {
  let [sum, power] = [0n, 1n];
  for (let j = at - n + 1; j <= at; j++) {
    if (j >= 0) sum += BigInt(ids[j]!) * power;
    power *= prime;
  }
  return BigInt.asIntN(64, sum);
}

/** ids (B, L) -> buckets (T, B, L − history). */
export function hashNgramsNaive(ids: Int32Array, [batch, length]: readonly number[], attrs: HashNgramAttrs): Int32Array {
  const { sizes, numFunctions, vocabularySize, history } = attrs;
  const [tables, , out] = hashShape([batch!, length!], attrs);
  const y = new Int32Array(tables * batch! * out);
  const V = BigInt(vocabularySize);
  let i = 0;
  for (let f = 0; f < numFunctions; f++)
    for (const n of sizes)
      for (let b = 0; b < batch!; b++) {
        const row = ids.subarray(b * length!, (b + 1) * length!);
        for (let t = history; t < length!; t++) y[i++] = Number(((ngramHash(row, t, n, BigInt(HASH_PRIMES[f]!)) % V) + V) % V);
      }
  return y;
}
