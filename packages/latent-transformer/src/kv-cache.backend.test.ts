import * as tf from '@tensorflow/tfjs-core';
import { cloneState, disposeState, setKernelPolicy } from '@bytelm/core';
import { backendsForTest, expectClose, expectNoLeak, useBackend } from '@bytelm/core/testing';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KvCache, type KvCacheState } from './kv-cache.js';
import { attention } from './ops/attention.js';
import { decodeAttention } from './ops/decode-attention.js';

/** (R, T, 1, 2) keys whose values say which row and position they are: row · 1000 + position. */
function marked(rows: number[], from: number[], T: number): tf.Tensor4D {
  const values = rows.flatMap((b, i) => Array.from({ length: T }, (_, t) => [b * 1000 + from[i]! + t, -(b * 1000 + from[i]! + t)]));
  return tf.tensor4d(values.flat(), [rows.length, T, 1, 2]);
}

async function expectHolds(cache: KvCache, state: KvCacheState): Promise<void> {
  const positions = cache.keyPositions(state);
  const values = await state.k.data();
  positions.forEach((p, i) => {
    if (p >= 0) expect(values[2 * i]).toBe(Math.floor(i / state.k.shape[1]) * 1000 + p);
  });
}

describe.each(backendsForTest())('KvCache on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  afterEach(() => setKernelPolicy('auto'));

  it.each([-1, 0, 4, 9])('window %i: keeps what a query may see, rows at lengths of their own', async (windowLeft) => {
    const cache = new KvCache({ numKvHeads: 1, headDim: 2, windowLeft, initialCapacity: 3 });
    await expectNoLeak(async () => {
      let state = cache.init(3);
      const append = (rows: number[], counts: number[]) => {
        const T = Math.max(...counts);
        const k = marked(rows, rows.map((b) => state.lengths[b]!), T);
        state = cache.append(state, k, k, { rows, counts });
        k.dispose();
      };
      append([0, 1, 2], [2, 0, 1]);
      for (let i = 0; i < 12; i++) append(i % 3 ? [0, 2] : [1], [1, 1].slice(0, i % 3 ? 2 : 1));
      append([1, 2], [13, 2]);
      await expectHolds(cache, state);
      expect([...state.lengths]).toEqual([10, 17, 11]);
      const kept = [0, 1, 2].map((b) => [...cache.keyPositions(state).subarray(b * state.k.shape[1], (b + 1) * state.k.shape[1])].filter((p) => p >= 0).sort((x, y) => x - y));
      for (const b of [0, 1, 2]) {
        const n = state.lengths[b]!;
        // Everything a query at the last position sees is there.
        for (let p = Math.max(0, windowLeft < 0 ? 0 : n - 1 - windowLeft); p < n; p++) expect(kept[b]).toContain(p);
        expect(cache.visible(state, b).count).toBe(kept[b]!.length);
      }
      if (windowLeft >= 0) expect(state.k.shape[1]).toBeLessThanOrEqual(windowLeft + 1);
      disposeState(state);
    });
  });

  it('rolls back and empties rows', async () => {
    const cache = new KvCache({ numKvHeads: 1, headDim: 2 });
    let state = cache.init(2);
    state = cache.append(state, marked([0, 1], [0, 0], 9), marked([0, 1], [0, 0], 9));
    const snapshot = cloneState(state);
    state = cache.rollback(state, 0, 4);
    state = cache.reset(state, 1);
    state = cache.append(state, marked([0, 1], [4, 0], 2), marked([0, 1], [4, 0], 2));
    expect([...state.lengths]).toEqual([6, 2]);
    await expectHolds(cache, state);
    expect([...snapshot.lengths]).toEqual([9, 9]);
    await expectHolds(cache, snapshot);
    expect(() => cache.rollback(state, 0, 7)).toThrow(/expected a length in 0\.\.6/);
    expect(() => cache.rollback(state, 2, 0)).toThrow(/expected a row in 0\.\.1/);
  });

  it('refuses to roll back a ring beyond what it keeps', () => {
    const cache = new KvCache({ numKvHeads: 1, headDim: 2, windowLeft: 3 });
    let state = cache.init(1);
    state = cache.append(state, marked([0], [0], 4), marked([0], [0], 4));
    state = cache.rollback(state, 0, 1);
    state = cache.append(state, marked([0], [1], 9), marked([0], [1], 9));
    state = cache.rollback(state, 0, 9);
    expect(() => cache.rollback(state, 0, 7)).toThrow(/needs positions from 4 on, but the ring of 4 keeps 6\.\.9/);
  });

  it('a ring with slack takes back as much as it says, and no more', async () => {
    for (const slack of [0, 1, 4]) {
      const cache = new KvCache({ numKvHeads: 1, headDim: 2, windowLeft: 3, slack, initialCapacity: 2, growth: 1.5 });
      let state = cache.init(2);
      state = cache.append(state, marked([0, 1], [0, 0], 21), marked([0, 1], [0, 0], 21), { counts: [21, 2] });
      expect(state.k.shape[1]).toBe(4 + slack);
      const query = (row: number) => {
        const { start, count } = cache.visible(state, row);
        const at = cache.keyPositions(state).subarray(row * (4 + slack), (row + 1) * (4 + slack));
        return Array.from({ length: count }, (_, i) => at[(start + i) % (4 + slack)]!).sort((a, b) => a - b);
      };
      expect(query(0)).toEqual([17, 18, 19, 20]);
      expect(query(1)).toEqual([0, 1]);
      // Back in two parts: the second must not believe in positions that only the first one's end made room for.
      state = cache.rollback(state, 0, 21 - Math.ceil(slack / 2));
      state = cache.rollback(state, 0, 20 - slack);
      expect(() => cache.rollback(state, 0, 19 - slack)).toThrow(/but the ring of/);
      state = cache.append(state, marked([0], [20 - slack], 1), marked([0], [20 - slack], 1), { rows: [0] });
      expect(query(0)).toEqual([17, 18, 19, 20].map((p) => p - slack));
      await expectHolds(cache, state);
    }
    expect(() => new KvCache({ numKvHeads: 1, headDim: 2, slack: -1 })).toThrow(/slack: expected a whole number of slots, got -1/);
    expect(() => new KvCache({ numKvHeads: 1, headDim: 2, growth: 1 })).toThrow(/growth: expected a number above 1, got 1/);
  });

  it('decode attention goes round the end of a ring', async () => {
    const [q, k, v] = [tf.randomNormal<tf.Rank.R3>([3, 4, 5], 0, 1, 'float32', 1), tf.randomNormal<tf.Rank.R4>([3, 7, 2, 5], 0, 1, 'float32', 2), tf.randomNormal<tf.Rank.R4>([3, 7, 2, 3], 0, 1, 'float32', 3)];
    const [starts, counts] = [[5, 0, 6], [4, 7, 1]];
    for (const policy of ['auto', 'portable'] as const) {
      setKernelPolicy(policy);
      const y = decodeAttention(q, { k, v, starts, counts });
      for (let b = 0; b < 3; b++) {
        const slots = Array.from({ length: counts[b]! }, (_, i) => (starts[b]! + i) % 7);
        const part = (t: tf.Tensor4D) => tf.gather(tf.slice(t, [b, 0, 0, 0], [1, 7, 2, t.shape[3]]), tf.tensor1d(slots, 'int32'), 1);
        const alone = attention(tf.reshape(tf.slice(q, [b, 0, 0], [1, 4, 5]), [1, 1, 4, 5]), { k: part(k), v: part(v) });
        await expectClose(tf.slice(y, [b, 0, 0], [1, 4, 3]), tf.reshape(alone.y, [1, 4, 3]), { atol: 1e-5 });
      }
    }
    setKernelPolicy('auto');
    expect(() => decodeAttention(q, { k, v, starts: [0, 7, 0], counts })).toThrow(/starts: expected 0\.\.6/);
    expect(() => decodeAttention(q, { k, v, starts: [0], counts })).toThrow(/with 1 starts/);
  });

  it('decode attention reads each row up to its own length', async () => {
    const [q, k, v] = [tf.randomNormal<tf.Rank.R3>([2, 6, 5], 0, 1, 'float32', 1), tf.randomNormal<tf.Rank.R4>([3, 11, 2, 5], 0, 1, 'float32', 2), tf.randomNormal<tf.Rank.R4>([3, 11, 2, 3], 0, 1, 'float32', 3)];
    const rows = [0, 2];
    const counts = [11, 6];
    for (const policy of ['auto', 'portable'] as const) {
      setKernelPolicy(policy);
      const y = decodeAttention(q, { k, v, rows, counts });
      for (const [i, b] of rows.entries()) {
        const part = (t: tf.Tensor4D) => tf.slice(t, [b, 0, 0, 0], [1, counts[i]!, 2, t.shape[3]]);
        const alone = attention(tf.reshape(tf.slice(q, [i, 0, 0], [1, 6, 5]), [1, 1, 6, 5]), { k: part(k), v: part(v) });
        await expectClose(tf.slice(y, [i, 0, 0], [1, 6, 3]), tf.reshape(alone.y, [1, 6, 3]), { atol: 1e-5 });
      }
      // No key: zeros. One key: its value, for all query heads of the group.
      const few = decodeAttention(q, { k, v, rows, counts: [0, 1] });
      const value = tf.reshape(tf.slice(v, [2, 0, 0, 0], [1, 1, 2, 3]), [2, 1, 3]);
      await expectClose(few, tf.concat([tf.zeros([1, 6, 3]), tf.reshape(tf.tile(value, [1, 3, 1]), [1, 6, 3])], 0), { atol: 1e-6 });
    }
    setKernelPolicy('auto');
    expect(() => decodeAttention(q, { k, v, rows: [0, 3], counts })).toThrow(/rows: expected 0\.\.2/);
    expect(() => decodeAttention(q, { k, v, rows, counts: [12, 1] })).toThrow(/counts: expected 0\.\.11/);
    expect(() => decodeAttention(q, { k, v, counts })).toThrow(/expected 3 queries/);
  });
});
