import * as tf from '@tensorflow/tfjs-core';
import { ConfigError, DataError } from '@bytelm/core';
import { growRows, writeRows } from './kernels/cache-rows.js';

export interface KvCacheConfig {
  numKvHeads: number;
  headDim: number;
  /** Width of values. Default `headDim`. */
  valueDim?: number;
  /** Earlier positions that a query sees besides its own: the cache then is a ring of that many + 1 + `slack`. −1 (default): all, the cache grows. */
  windowLeft?: number;
  /** Slots that a ring has beyond its window: the last `slack` + 1 positions of a row can always be taken back. Default 0. */
  slack?: number;
  /** Positions that there is room for at first. Default 64. */
  initialCapacity?: number;
  /** Factor by which a full cache grows, above 1. Default 2. */
  growth?: number;
}

/** Keys and values of the positions seen so far; a plain tree, so `cloneState`, `disposeState` and `keepState` of core work on it. */
export interface KvCacheState {
  /** (B, C, Hkv, D). The position p of a row lies in slot p, in a full ring in slot p mod C. */
  k: tf.Tensor4D;
  /** (B, C, Hkv, Dv). */
  v: tf.Tensor4D;
  /** (B) positions each row has seen. */
  lengths: Int32Array;
  /** (B) positions each row had at most since it was empty: what it was taken back by lies in its slots, and what that overwrote is gone. */
  written: Int32Array;
}

/** Slots that one query sees: `count` of them from `start` on, beginning again at 0 behind the last. */
export interface SlotRange {
  start: number;
  count: number;
}

/**
 * Rules of a key/value cache whose rows are at positions of their own. Methods **consume** the state they get and return the next one;
 * on `wasm` and `webgpu` they write in place, so that an appended position costs the same at any length.
 */
export class KvCache {
  readonly config: Readonly<Required<KvCacheConfig>>;
  /** Slots a ring has when fully grown; Infinity without a window. */
  readonly maxCapacity: number;

  constructor(config: KvCacheConfig) {
    const { numKvHeads, headDim, valueDim = headDim, windowLeft = -1, slack = 0, initialCapacity = 64, growth = 2 } = config;
    this.config = { numKvHeads, headDim, valueDim, windowLeft, slack, initialCapacity, growth };
    for (const [name, n] of Object.entries({ numKvHeads, headDim, valueDim, initialCapacity })) {
      if (!(Number.isInteger(n) && n > 0)) throw new ConfigError(`[KvCache] ${name}: expected a positive whole number, got ${n}.`);
    }
    if (!(Number.isInteger(slack) && slack >= 0)) throw new ConfigError(`[KvCache] slack: expected a whole number of slots, got ${slack}.`);
    if (!(growth > 1)) throw new ConfigError(`[KvCache] growth: expected a number above 1, got ${growth}.`);
    this.maxCapacity = windowLeft < 0 ? Infinity : windowLeft + 1 + slack;
  }

  init(batchSize: number): KvCacheState {
    const { numKvHeads, headDim, valueDim, initialCapacity } = this.config;
    const capacity = Math.min(initialCapacity, this.maxCapacity);
    return {
      k: tf.zeros([batchSize, capacity, numKvHeads, headDim]),
      v: tf.zeros([batchSize, capacity, numKvHeads, valueDim]),
      lengths: new Int32Array(batchSize),
      written: new Int32Array(batchSize),
    };
  }

  /** Makes room for rows of `length` positions (a ring stops growing at its window and slack). */
  reserve<S extends Pick<KvCacheState, 'k' | 'v'>>(state: S, length: number): S {
    const capacity = state.k.shape[1];
    if (length <= capacity || capacity >= this.maxCapacity) return state;
    let next = capacity;
    while (next < length) next = Math.ceil(next * this.config.growth);
    next = Math.min(next, this.maxCapacity);
    return { ...state, k: growRows(state.k, next), v: growRows(state.v, next) };
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
      this.advance(room, b, n);
    }
    return { ...room, k: writeRows(room.k, k, targets), v: writeRows(room.v, v, targets) };
  }

  /**
   * Room for one more position in each of the rows, for a kernel that writes the slots itself.
   * @returns per row: its position, the slot to write, and the slots that its query sees.
   */
  claim(state: KvCacheState, rows?: readonly number[]): { state: KvCacheState; positions: Int32Array; slots: Int32Array; starts: Int32Array; counts: Int32Array } {
    const R = rows?.length ?? state.lengths.length;
    const positions = new Int32Array(R);
    let longest = 0;
    for (let i = 0; i < R; i++) {
      const row = rows ? rows[i]! : i;
      checkRow('claim', state, row);
      positions[i] = state.lengths[row]!;
      this.advance(state, row, 1);
      longest = Math.max(longest, state.lengths[row]!);
    }
    const next = this.reserve(state, longest);
    const capacity = next.k.shape[1];
    const starts = new Int32Array(R);
    const counts = new Int32Array(R);
    for (let i = 0; i < R; i++) {
      const { start, count } = this.visible(next, rows ? rows[i]! : i);
      starts[i] = start;
      counts[i] = count;
    }
    return { state: next, positions, slots: positions.map((p) => p % capacity), starts, counts };
  }

  private advance(state: KvCacheState, row: number, by: number): void {
    state.lengths[row]! += by;
    state.written[row] = Math.max(state.written[row]!, state.lengths[row]!);
  }

  /** The slots that the query at a row's newest position sees: all of its positions, or those of its window. */
  visible(state: KvCacheState, row: number): SlotRange {
    const { windowLeft } = this.config;
    const length = state.lengths[row]!;
    const capacity = state.k.shape[1];
    const count = windowLeft < 0 ? length : Math.min(length, windowLeft + 1);
    // A ring without slack is all window: in any order, so from its first slot.
    return { start: count === capacity ? 0 : (length - count) % capacity, count };
  }

  /** (B*C) position that each slot holds, −1 where it is empty or holds one that was taken back. */
  keyPositions(state: KvCacheState): Int32Array {
    const capacity = state.k.shape[1];
    const out = new Int32Array(state.lengths.length * capacity).fill(-1);
    state.lengths.forEach((n, b) => {
      for (let p = Math.max(0, state.written[b]! - capacity); p < n; p++) out[b * capacity + (p % capacity)] = p;
    });
    return out;
  }

  /** Empties a row. */
  reset(state: KvCacheState, row: number): KvCacheState {
    checkRow('reset', state, row);
    state.lengths[row] = state.written[row] = 0;
    return state;
  }

  /**
   * Takes a row back to `length` positions, e.g. after refused drafts. Without a window to any length, in a ring by `slack` + 1 positions
   * (all together, where a row is taken back several times without going on). Never to before `reset`, that is into an earlier document.
   * @throws DataError when a ring has already overwritten positions that the shorter row would see.
   */
  rollback(state: KvCacheState, row: number, length: number): KvCacheState {
    checkRow('rollback', state, row);
    const { windowLeft, slack } = this.config;
    const now = state.lengths[row]!;
    if (!(Number.isInteger(length) && length >= 0 && length <= now)) {
      throw new DataError(`[KvCache.rollback] row ${row}: expected a length in 0..${now}, got ${length}. Hint: what came before startDocument is gone.`);
    }
    const oldest = Math.max(0, state.written[row]! - state.k.shape[1]);
    const needed = Math.max(0, length - windowLeft);
    if (length < now && windowLeft >= 0 && needed < oldest) {
      throw new DataError(
        `[KvCache.rollback] row ${row}: length ${length} needs positions from ${needed} on, but the ring of ${state.k.shape[1]} keeps ${oldest}..${state.written[row]! - 1}. ` +
          `Hint: more \`slack\` than ${slack} in the cache, or a snapshot with cloneState before steps that may be taken back.`,
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
