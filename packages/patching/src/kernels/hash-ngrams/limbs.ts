import { HASH_PRIMES } from '../../hash/primes.js';
import { hashShape, slotsOf, type HashNgramAttrs } from './attrs.js';

/** Unsigned x mod V for x < 2^53, by a reciprocal: the quotient is off by one at most. */
function remainder(x: number, V: number, reciprocal: number): number {
  const r = x - Math.floor(x * reciprocal) * V;
  return r < 0 ? r + V : r >= V ? r - V : r;
}

/**
 * Calls `visit(n, high, low)` with the 64-bit hash of the n-gram of every length 1..most that ends at `at`, as two unsigned halves.
 * H(n) = a·H(n−1) + id[at−n+1], so one multiplication gives one more length.
 * @param start first id of the row; ids before it are zeros.
 */
export function eachHash(ids: Int32Array, start: number, at: number, most: number, prime: number, visit: (n: number, high: number, low: number) => void): void {
  const aHigh = Math.floor(prime / 0x100000000);
  const aLow = prime >>> 0;
  const [a0, a1] = [aLow & 0xffff, aLow >>> 16];
  let [high, low] = [0, 0];
  for (let n = 1; n <= most; n++) {
    const [h0, h1] = [low & 0xffff, low >>> 16];
    const p00 = Math.imul(h0, a0) >>> 0;
    const p01 = Math.imul(h0, a1) >>> 0;
    const p10 = Math.imul(h1, a0) >>> 0;
    const middle = (p00 >>> 16) + (p01 & 0xffff) + (p10 & 0xffff);
    high = (Math.imul(h1, a1) + (p01 >>> 16) + (p10 >>> 16) + (middle >>> 16) + Math.imul(high, aLow) + Math.imul(low, aHigh)) >>> 0;
    low = ((middle << 16) | (p00 & 0xffff)) >>> 0;
    const i = at - n + 1;
    if (i >= start) {
      const sum = (low + ids[i]!) >>> 0;
      if (sum < low) high = (high + 1) >>> 0;
      low = sum;
    }
    visit(n, high, low);
  }
}

/**
 * Exact n-gram buckets on the host without BigInt: 64-bit arithmetic in two unsigned halves, floored modulo.
 * @param ids (B, L), not negative.
 * @returns (T, B, L − history), tables in the order functions, then sizes.
 */
export function hashNgramsOnHost(ids: Int32Array, shape: readonly number[], attrs: HashNgramAttrs): Int32Array {
  const { sizes, numFunctions, vocabularySize: V, history } = attrs;
  const [tables, batch, out] = hashShape(shape, attrs);
  const length = shape[1]!;
  const y = new Int32Array(tables * batch * out);
  const slots = slotsOf(sizes);
  const most = slots.length - 1;
  const reciprocal = 1 / V;
  // What a set sign bit takes away: 2^64 mod V.
  const wrap = Number((1n << 64n) % BigInt(V));
  let [f, b, t] = [0, 0, 0];
  const put = (n: number, high: number, low: number): void => {
    const slot = slots[n]!;
    if (slot < 0) return;
    let r = remainder((high % V) * 0x10000 + (low >>> 16), V, reciprocal);
    r = remainder(r * 0x10000 + (low & 0xffff), V, reciprocal);
    if (high >= 0x80000000 && (r -= wrap) < 0) r += V;
    y[((f * sizes.length + slot) * batch + b) * out + t - history] = r;
  };
  for (f = 0; f < numFunctions; f++)
    for (b = 0; b < batch; b++)
      for (t = history; t < length; t++) eachHash(ids, b * length, b * length + t, most, HASH_PRIMES[f]!, put);
  return y;
}
