import * as tf from '@tensorflow/tfjs-core';
import { ConfigError, DataError } from '@bytelm/core';
import { growRows, writeRows } from './kernels/cache-rows.js';

export interface KvCacheConfig {
  numKvHeads: number;
  headDim: number;
  /** Width of values. Default `headDim`. */
  valueDim?: number;
  /** Earlier positions that a query sees besides its own: the cache then is a ring of that many + 1. −1 (default): all, the cache grows. */
  windowLeft?: number;
  /** Positions that there is room for at first. Default 64. */
  initialCapacity?: number;
}

/** Keys and values of the positions seen so far; a plain tree, so `cloneState`, `disposeState` and `keepState` of core work on it. */
export interface KvCacheState {
  /** (B, C, Hkv, D). The position p of a row lies in slot p, in a full ring in slot p mod C. */
  k: tf.Tensor4D;
  /** (B, C, Hkv, Dv). */
  v: tf.Tensor4D;
  /** (B) positions each row has seen. */
  lengths: Int32Array;
}

/**
 * Rules of a key/value cache whose rows are at positions of their own. Methods **consume** the state they get and return the next one;
 * on `wasm` they write in place, so that an appended position costs the same at any length.
 */
export class KvCache {
  readonly config: Readonly<Required<KvCacheConfig>>;
  /** Slots a ring has when fully grown; Infinity without a window. */
  readonly maxCapacity: number;

  constructor(config: KvCacheConfig) {
    const { numKvHeads, headDim, valueDim = headDim, windowLeft = -1, initialCapacity = 64 } = config;
    this.config = { numKvHeads, headDim, valueDim, windowLeft, initialCapacity };
    for (const [name, n] of Object.entries({ numKvHeads, headDim, valueDim, initialCapacity })) {
      if (!(Number.isInteger(n) && n > 0)) throw new ConfigError(`[KvCache] ${name}: expected a positive whole number, got ${n}.`);
    }
    this.maxCapacity = windowLeft < 0 ? Infinity : windowLeft + 1;
  }

  init(batchSize: number): KvCacheState {
    const { numKvHeads, headDim, valueDim, initialCapacity } = this.config;
    const capacity = Math.min(initialCapacity, this.maxCapacity);
    return {
      k: tf.zeros([batchSize, capacity, numKvHeads, headDim]),
      v: tf.zeros([batchSize, capacity, numKvHeads, valueDim]),
      lengths: new Int32Array(batchSize),
    };
  }

  /** Makes room for rows of `length` positions (a ring stops growing at its window). */
  reserve(state: KvCacheState, length: number): KvCacheState {
    const capacity = state.k.shape[1];
    if (length <= capacity || capacity >= this.maxCapacity) return state;
    const next = Math.min(2 ** Math.ceil(Math.log2(length)), this.maxCapacity);
    return { k: growRows(state.k, next), v: growRows(state.v, next), lengths: state.lengths };
  }

  /**
   * Appends `counts[i]` positions to row `rows[i]`.
   * @param k (R, T, Hkv, D), the first `counts[i]` of each row are taken. @param v (R, T, Hkv, Dv).
   * @param from First index of each row that is taken, with `counts` counting from there. Default 0.
   */
  append(state: KvCacheState, k: tf.Tensor4D, v: tf.Tensor4D, options: { rows?: readonly number[] | undefined; counts?: ArrayLike<number> | undefined; from?: ArrayLike<number> | undefined } = {}): KvCacheState {
    const [R, T] = k.shape;
    const { rows, counts, from } = options;
    if (R !== (rows?.length ?? state.lengths.length)) throw new DataError(`[KvCache.append] expected ${rows?.length ?? state.lengths.length} rows, got ${R}.`);
    const row = (i: number) => (rows ? rows[i]! : i);
    const count = (i: number) => (counts ? counts[i]! : T);
    let longest = 0;
    for (let i = 0; i < R; i++) {
      checkRow('append', state, row(i));
      longest = Math.max(longest, state.lengths[row(i)]! + count(i));
    }
    const room = this.reserve(state, longest);
    const capacity = room.k.shape[1];
    const targets = new Int32Array(R * T).fill(-1);
    for (let i = 0; i < R; i++) {
      const b = row(i);
      const start = room.lengths[b]!;
      const n = count(i);
      // Of more positions than a ring holds only the last ones stay.
      for (let t = Math.max(0, n - capacity); t < n; t++) targets[i * T + (from ? from[i]! : 0) + t] = b * capacity + ((start + t) % capacity);
      room.lengths[b] = start + n;
    }
    return { k: writeRows(room.k, k, targets), v: writeRows(room.v, v, targets), lengths: room.lengths };
  }

  /**
   * Room for one more position in each of the rows, for a kernel that writes the slots itself.
   * @returns per row: its position, the slot to write, and how many slots are filled with it.
   */
  claim(state: KvCacheState, rows?: readonly number[]): { state: KvCacheState; positions: Int32Array; slots: Int32Array; counts: Int32Array } {
    const R = rows?.length ?? state.lengths.length;
    const positions = new Int32Array(R);
    let longest = 0;
    for (let i = 0; i < R; i++) {
      const row = rows ? rows[i]! : i;
      checkRow('claim', state, row);
      positions[i] = state.lengths[row]!++;
      longest = Math.max(longest, state.lengths[row]!);
    }
    const next = this.reserve(state, longest);
    const capacity = next.k.shape[1];
    return { state: next, positions, slots: positions.map((p) => p % capacity), counts: positions.map((p) => Math.min(p + 1, capacity)) };
  }

  /** Filled slots of a row; they are the first ones. */
  filled(state: KvCacheState, row: number): number {
    return Math.min(state.lengths[row]!, state.k.shape[1]);
  }

  /** (B*C) position that each slot holds, −1 where it is empty. */
  keyPositions(state: KvCacheState): Int32Array {
    const capacity = state.k.shape[1];
    const out = new Int32Array(state.lengths.length * capacity).fill(-1);
    state.lengths.forEach((n, b) => {
      for (let p = Math.max(0, n - capacity); p < n; p++) out[b * capacity + (p % capacity)] = p;
    });
    return out;
  }

  /** Empties a row. */
  reset(state: KvCacheState, row: number): KvCacheState {
    checkRow('reset', state, row);
    state.lengths[row] = 0;
    return state;
  }

  /**
   * Takes a row back to `length` positions, e.g. after refused drafts.
   * @throws DataError when a ring has already overwritten positions that the shorter row would see.
   */
  rollback(state: KvCacheState, row: number, length: number): KvCacheState {
    checkRow('rollback', state, row);
    const now = state.lengths[row]!;
    if (!(Number.isInteger(length) && length >= 0 && length <= now)) {
      throw new DataError(`[KvCache.rollback] row ${row}: expected a length in 0..${now}, got ${length}.`);
    }
    const oldest = Math.max(0, now - state.k.shape[1]);
    if (length < now && Math.max(0, length - this.config.windowLeft) < oldest && this.maxCapacity !== Infinity) {
      throw new DataError(
        `[KvCache.rollback] row ${row}: length ${length} needs positions from ${Math.max(0, length - this.config.windowLeft)} on, but the ring of ${state.k.shape[1]} keeps ${oldest}..${now - 1}. ` +
          `Hint: take a snapshot with cloneState before steps that may be taken back.`,
      );
    }
    state.lengths[row] = length;
    return state;
  }
}

function checkRow(where: string, state: KvCacheState, row: number): void {
  if (!(Number.isInteger(row) && row >= 0 && row < state.lengths.length)) {
    throw new DataError(`[KvCache.${where}] expected a row in 0..${state.lengths.length - 1}, got ${row}.`);
  }
}
