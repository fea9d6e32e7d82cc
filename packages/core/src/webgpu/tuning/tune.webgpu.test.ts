import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend } from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { expectNoLeak, useBackend } from '../../testing/index.js';
import { chooseTile } from '../matmul/choose.js';
import { TILES, tileName } from '../matmul/tile.js';
import { allowHalfPrecision, mayUseHalf } from '../precision.js';
import { clearTuning, loadTuning } from './choices.js';
import { fileTuningStore } from './stores.js';
import { tuneProducts } from './tune.js';

const shape = { batch: 1, m: 20, n: 12, k: 8, forms: 'k4 outer4', isPaired: false };
const chosen = () => chooseTile(tf.backend() as KernelBackend, shape);

describe('tuning', () => {
  beforeAll(() => useBackend('webgpu'));
  afterEach(() => clearTuning());

  it('measures, uses, keeps and finds again the best tile', () =>
    expectNoLeak(async () => {
      const folder = await mkdtemp(join(tmpdir(), 'bytelm-tune-'));
      const store = fileTuningStore(join(folder, 'a', 'tuning.json'));
      const candidates = [TILES[4]!];
      expect(await tuneProducts([shape], { store, candidates })).toEqual([]);
      const byRule = tileName(chosen());
      const [result] = await tuneProducts([shape], { store, candidates, budget: 1, allowSoftware: true });
      expect(result).toMatchObject({ m: 20, tile: tileName(TILES[4]!), wrong: [] });
      expect(result!.gflops).toBeGreaterThan(0);
      expect(tileName(chosen())).toBe(tileName(TILES[4]!));
      clearTuning();
      expect(tileName(chosen())).toBe(byRule);
      await loadTuning(store);
      expect(tileName(chosen())).toBe(tileName(TILES[4]!));
      expect(await readFile(join(folder, 'a', 'tuning.json'), 'utf8')).toContain('matmul k4 outer4 0,4,4,3');
      await writeFile(join(folder, 'a', 'tuning.json'), '{"half a');
      clearTuning();
      await loadTuning(store);
      expect(tileName(chosen())).toBe(byRule);
      await rm(folder, { recursive: true });
    }));

  it('takes tiles of f16 only while they are allowed', async () => {
    const half = { ...TILES[4]!, half: true };
    const byRule = tileName(chosen());
    allowHalfPrecision(true);
    if (!mayUseHalf(tf.backend() as KernelBackend)) return allowHalfPrecision(false);
    const [result] = await tuneProducts([shape], { candidates: [TILES[4]!, half], budget: 1, allowSoftware: true });
    expect(result!.wrong).toEqual([]);
    await tuneProducts([shape], { candidates: [half], budget: 1, allowSoftware: true });
    expect(tileName(chosen())).toBe(tileName(half));
    allowHalfPrecision(false);
    expect(tileName(chosen())).toBe(byRule);
  });
});
