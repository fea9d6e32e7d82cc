import { allowHalfPrecision, clearTuning, loadTuning, observeDispatches, type TuningStore } from '@bytelm/core/webgpu';
import { expectClose, expectNoLeak, integerTensor, randomTensors, useBackend } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { attention } from '../../ops/attention.js';
import { decodeAttention } from '../../ops/decode-attention.js';
import { tuneAttention } from './tune-attention.js';
import { canHaveForm, forwardOf, gradientsOf } from '../patch-attention/webgpu.js';
import type { PatchForm } from '../patch-attention/webgpu-text.js';
import { tuneDecodeAttention } from './tune-decode.js';
import { tunePatchAttention } from './tune-patch-attention.js';

const random = randomTensors(40);

/** Keys of the kernels that run, and the values. */
async function traced(run: () => tf.Tensor): Promise<{ keys: string[]; y: tf.Tensor }> {
  const keys: string[] = [];
  const stop = observeDispatches(({ key }) => keys.push(key));
  const y = tf.tidy(run);
  stop();
  return { keys, y };
}

describe('tuning of attention', () => {
  beforeAll(() => useBackend('webgpu'));
  afterEach(() => {
    clearTuning();
    allowHalfPrecision(false);
  });

  it.each(['bytes', 'slots'] as const)('measures forms of attention between bytes and patches that agree, %s asking', (queries) =>
    expectNoLeak(async () => {
      const shape = { queries, batch: 2, length: 21, patches: 5, slots: 3, heads: 2, dim: 9, valueDim: 12 };
      expect(await tunePatchAttention([shape])).toEqual([]);
      const results = await tunePatchAttention([shape], { budget: 1, allowSoftware: true, forms: [{ threads: 64, subgroups: true }] });
      expect(results).toMatchObject([{ kernel: 'forward', wrong: [] }, { kernel: 'gradients', wrong: [] }]);
      const q = random(...(queries === 'bytes' ? [2, 21, 2, 9] : [2, 5, 3, 2, 9]));
      const [k, v] = [9, 12].map((d) => random(...(queries === 'bytes' ? [2, 5, 3, 2, d] : [2, 21, 2, d]))) as [tf.Tensor, tf.Tensor];
      // Bytes of no patch at the end, and a patch without bytes.
      const ids = integerTensor([2, 21], (i) => (i % 21 > 17 ? -1 : Math.floor((i % 21) / 6)));
      const backend = tf.backend() as never;
      const form = { threads: 64, subgroups: canHaveForm(backend, { threads: 64, subgroups: true }) };
      const dy = random(...q.shape.slice(0, -1), 12);
      const values = (given?: PatchForm) =>
        [...forwardOf(queries, given)({ inputs: { q, k, v, ids }, attrs: { scale: 0.7 }, backend })!, ...gradientsOf(queries, given)({ inputs: { q, k, v, ids, dy }, attrs: { scale: 0.7 }, backend })!].map((t) => tf.engine().makeTensorFromTensorInfo(t));
      clearTuning();
      const [alone, together] = [values(), values(form)];
      for (const [i, t] of alone.entries()) await expectClose(together[i]!, t, { atol: 2e-5, name: ['y', 'dq', 'dk', 'dv'][i]! });
      tf.dispose([q, k, v, ids, dy, ...alone, ...together]);
    }));

  it('measures, uses and keeps tiles and ways to read a cache; f16 only where that is allowed', () =>
    expectNoLeak(async () => {
      let kept: Awaited<ReturnType<TuningStore['load']>> = {};
      const store: TuningStore = { load: async () => kept, save: async (all) => void (kept = JSON.parse(JSON.stringify(all))) };
      const options = { store, budget: 1, allowSoftware: true };
      const shape = { queries: 20, heads: 2, kvHeads: 1, dim: 8 };
      const [q, k, v] = [random(1, 20, 2, 8), random(1, 20, 1, 8), random(1, 20, 1, 8)] as tf.Tensor4D[] as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
      const [one, cache] = [random(1, 2, 8) as tf.Tensor3D, random(1, 20, 1, 8) as tf.Tensor4D];
      const attend = () => traced(() => attention(q, { k, v, mask: { causal: true } }).y);
      const decode = () => traced(() => decodeAttention(one, { k: cache, v: cache, counts: [20] }));
      expect(await tuneAttention([shape])).toEqual([]);
      const rule = [await attend(), await decode()];

      allowHalfPrecision(true);
      const [forward] = await tuneAttention([shape], { ...options, gradients: false, tiles: [{ rows: 32, columns: 16, height: 16 }] });
      await expect(tuneAttention([shape], { ...options, tiles: [{ rows: 16, columns: 4 }] })).rejects.toThrow('expected some of tile 32 x 32');
      expect(forward).toMatchObject({ queries: 20, kernel: 'forward', wrong: [] });
      const [read] = await tuneDecodeAttention([{ reach: 20, heads: 2, kvHeads: 1, dim: 8 }], { ...options, plans: [] });
      expect(read).toMatchObject({ reach: 20, kernel: 'decode', wrong: [] });
      const tuned = [await attend(), await decode()];
      expect(tuned[0]!.keys[0]).toContain(forward!.choice);
      for (const [i, { y }] of tuned.entries()) await expectClose(y, rule[i]!.y, { atol: 4e-3 });

      // A choice that was f16's is nothing to those who do not allow it.
      for (const all of Object.values(kept)) for (const key of Object.keys(all)) expect(key).toMatch(/ f16$|^matmul/);
      clearTuning();
      await loadTuning(store);
      const again = [await attend()];
      allowHalfPrecision(false);
      const single = [await attend(), await decode()];
      expect([again[0]!.keys, ...single.map((s) => s.keys)]).toEqual([tuned[0]!.keys, ...rule.map((s) => s.keys)]);
      tf.dispose([q, k, v, one, cache, ...[...rule, ...tuned, ...again, ...single].map(({ y }) => y)]);
    }));
});
