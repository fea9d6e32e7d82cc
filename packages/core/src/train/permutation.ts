import { Rng } from '../rng.js';

/**
 * A seeded order of 0..size−1 that needs no memory: an eight-round Feistel network over the next even power of two, walked until it lands
 * inside. `at(i)` is the i-th element.
 */
export class Permutation {
  private readonly half: number;
  private readonly keys: Uint32Array;

  constructor(
    readonly size: number,
    rng: Rng,
  ) {
    let half = 1;
    while (2 ** (2 * half) < size) half++;
    this.half = half;
    this.keys = Uint32Array.from({ length: 8 }, () => rng.nextUint32());
  }

  at(index: number): number {
    let i = index;
    do i = this.mix(i);
    while (i >= this.size);
    return i;
  }

  private mix(i: number): number {
    const base = 2 ** this.half;
    let left = Math.floor(i / base);
    let right = i % base;
    for (const key of this.keys) [left, right] = [right, (left ^ (scramble(right, key) % base)) >>> 0];
    return left * base + right;
  }
}

/** A 32-bit finaliser (murmur3's shape): every input bit reaches every output bit. */
function scramble(x: number, key: number): number {
  let h = (x ^ key) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
