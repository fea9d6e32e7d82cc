import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { disposeState } from '../state.js';
import { backendsForTest, useBackend } from '../testing/index.js';
import { saveSafetensors } from './save-safetensors.js';
import { loadState, saveState } from './state-file.js';

const folder = mkdtempSync(join(tmpdir(), 'bytelm-state-'));
const file = join(folder, 'a.state');
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(backendsForTest())('saved states on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it('come back as they were', async () => {
    const state = {
      layers: [{ k: tf.tensor2d([1, -2, 3, 4.5], [2, 2]), lengths: Int32Array.of(3, 4) }, null],
      ids: tf.tensor1d([7, 8], 'int32'),
      seen: Uint8Array.of(1, 0),
      fired: Int8Array.of(-1, 1),
      sums: Float32Array.of(0.5),
      last: -Infinity,
      name: 'x',
      none: undefined,
    };
    const before = tf.memory().numTensors;
    await saveState(state, file, { model: 'tiny' });
    const { state: back, metadata } = await loadState<typeof state>(file);
    expect(metadata).toEqual({ model: 'tiny' });
    expect([...(await back.layers[0]!.k.data())]).toEqual([1, -2, 3, 4.5]);
    expect(back.layers[0]!.k.shape).toEqual([2, 2]);
    expect([back.ids.dtype, ...(await back.ids.data())]).toEqual(['int32', 7, 8]);
    const { layers, ids: _ids, ...rest } = back;
    expect({ ...rest, lengths: layers[0]!.lengths, hole: layers[1] }).toEqual({ seen: state.seen, fired: state.fired, sums: state.sums, last: -Infinity, name: 'x', none: undefined, lengths: state.layers[0]!.lengths, hole: null });
    disposeState(back);
    expect(tf.memory().numTensors).toBe(before);
    disposeState(state);
  });
});

describe('saved states, bad input', () => {
  it('refuses what it cannot store, naming the place', async () => {
    await expect(saveState({ a: [new Map()] }, file)).rejects.toThrow('[saveState] state.a.0: expected plain objects, arrays, tensors, typed arrays and JSON values, got Map.');
    await expect(saveState({ a: new Float64Array(1) }, file)).rejects.toThrow('state.a: expected one of Float32Array, Int32Array, Uint8Array, Int8Array, got Float64Array.');
  });

  it('refuses other files and damaged ones', async () => {
    await saveSafetensors({ x: { dtype: 'float32', shape: [1], values: Float32Array.of(1) } }, file);
    await expect(loadState(file)).rejects.toThrow("expected a file of saveState (format 'bytelm state 1'), got format \"none\".");
    await saveState({ a: Float32Array.of(1, 2) }, file);
    truncateSync(file, 100);
    await expect(loadState(file)).rejects.toThrow();
  });
});
