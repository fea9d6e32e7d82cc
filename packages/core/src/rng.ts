import * as tf from '@tensorflow/tfjs-core';

/** Position of an `Rng`, to be stored in a checkpoint. */
export type RngState = [number, number, number, number, number | null];

/**
 * Seeded random numbers (xoshiro128**), the same on every machine and backend. Passed in, never global; `fork` gives independent
 * streams by name, so that adding one consumer does not shift the numbers of another.
 */
export class Rng {
  private s: Uint32Array;
  private spare: number | null = null;
  readonly seed: number;
  /** Identifies the stream: the seed and the labels of all forks that led here. */
  private key: bigint;

  constructor(seed: number) {
    this.seed = seed;
    this.key = BigInt.asUintN(64, BigInt(Math.trunc(seed)));
    this.s = splitmix(this.key);
  }

  /** An independent stream that depends on the seed and the path of labels only, not on what was drawn before. */
  fork(label: string): Rng {
    // FNV-1a over the label, started from the parent's key.
    let hash = BigInt.asUintN(64, (this.key ^ 0xcbf29ce484222325n) * 0x100000001b3n);
    for (const byte of new TextEncoder().encode(label)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
    const child = new Rng(this.seed);
    child.key = hash;
    child.s = splitmix(hash);
    return child;
  }

  /** 32 random bits. */
  nextUint32(): number {
    const s = this.s;
    const result = Math.imul(rotl(Math.imul(s[1]!, 5), 7), 9) >>> 0;
    const t = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = rotl(s[3]!, 11);
    return result;
  }

  /** Uniform in [0, 1), 53 bits. */
  next(): number {
    const high = this.nextUint32() >>> 5;
    const low = this.nextUint32() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  /** Uniform integer in [0, n). */
  nextInt(n: number): number {
    return Math.floor(this.next() * n);
  }

  /** Standard normal (polar method). */
  nextNormal(): number {
    if (this.spare !== null) {
      const v = this.spare;
      this.spare = null;
      return v;
    }
    for (;;) {
      const a = 2 * this.next() - 1;
      const b = 2 * this.next() - 1;
      const r = a * a + b * b;
      if (r > 0 && r < 1) {
        const f = Math.sqrt((-2 * Math.log(r)) / r);
        this.spare = b * f;
        return a * f;
      }
    }
  }

  /** Normal tensor with the given standard deviation; values beyond `cut` standard deviations are drawn again. */
  normal<S extends number[]>(shape: S, std = 1, cut = Infinity): tf.Tensor {
    return this.fill(shape, () => {
      for (;;) {
        const v = this.nextNormal();
        if (Math.abs(v) <= cut) return std * v;
      }
    });
  }

  /** Uniform tensor in [low, high). */
  uniform<S extends number[]>(shape: S, low = 0, high = 1): tf.Tensor {
    return this.fill(shape, () => low + (high - low) * this.next());
  }

  private fill(shape: number[], draw: () => number): tf.Tensor {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    for (let i = 0; i < values.length; i++) values[i] = draw();
    return tf.tensor(values, shape, 'float32');
  }

  get state(): RngState {
    return [this.s[0]!, this.s[1]!, this.s[2]!, this.s[3]!, this.spare];
  }

  set state(state: RngState) {
    this.s = Uint32Array.from(state.slice(0, 4) as number[]);
    this.spare = state[4];
  }
}

const rotl = (x: number, k: number): number => ((x << k) | (x >>> (32 - k))) >>> 0;

function splitmix(seed: bigint): Uint32Array {
  const out = new Uint32Array(4);
  let z = BigInt.asUintN(64, seed);
  for (let i = 0; i < 2; i++) {
    z = BigInt.asUintN(64, z + 0x9e3779b97f4a7c15n);
    let r = z;
    r = BigInt.asUintN(64, (r ^ (r >> 30n)) * 0xbf58476d1ce4e5b9n);
    r = BigInt.asUintN(64, (r ^ (r >> 27n)) * 0x94d049bb133111ebn);
    r ^= r >> 31n;
    out[2 * i] = Number(r & 0xffffffffn);
    out[2 * i + 1] = Number(r >> 32n);
  }
  return out;
}
