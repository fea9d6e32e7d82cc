import { beforeAll, describe, expect, it } from 'vitest';
import { generate, Rng, type HierarchicalLM } from '@bytelm/core';
import { backendsForTest, expectNoLeak, useBackend } from '@bytelm/core/testing';
import { speculate, type SpeculateOptions } from '../src/speculate.js';
import { disposeTiny, textIds, TINY, tinyModel } from './tiny-models.js';

async function plain(model: HierarchicalLM, prompt: Int32Array, options: SpeculateOptions): Promise<{ ids: number[]; patches: number }> {
  const ids: number[] = [];
  let patches = 0;
  for await (const e of generate(model, [prompt], { eos: 2, ...options })) {
    if (e.type === 'byte') ids.push(e.id);
    if (e.type === 'boundary') patches += e.fired[0]!;
  }
  return { ids, patches };
}

describe.each(backendsForTest())('self-speculation on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  const fast = backend === 'wasm';
  const bytes = fast ? 40 : 12;
  const draftLength = 4;

  describe.each(Object.keys(TINY))('%s', (kind) => {
    it('gives the bytes of plain decoding, greedy and sampled, with fewer runs of the main network', async () => {
      const model = tinyModel(kind, 1, { cacheSlack: draftLength });
      // The second prompt holds an EOS; windows overflow.
      const prompts = textIds([5, 30], 24);
      const ways = [{ temperature: 0 }, { temperature: 0.7, topP: 0.9 }, { temperature: 1 }];
      for (const [i, sampling] of ways.slice(0, fast ? 3 : 1).entries()) {
        for (const prompt of prompts) {
          const options = { ...sampling, maxBytes: bytes, eos: i === 2 ? null : 2 };
          const want = await plain(model, prompt, { ...options, rng: new Rng(i) });
          const got = await speculate(model, prompt, { ...options, draftLength, rng: new Rng(i) });
          expect([...got.ids], JSON.stringify(options)).toEqual(want.ids);
          expect(got.accepted).toBeLessThanOrEqual(got.drafted);
          expect(got.mainPassesSaved).toBe(got.patches - got.mainPasses);
          // The last byte is never read by either; a draft may have read it.
          expect(Math.abs(got.patches - want.patches)).toBeLessThanOrEqual(1);
        }
      }
      disposeTiny(model);
    });
  });

  it('saves runs where drafts are right, and leaks nothing', async () => {
    const model = tinyModel('space', 1, { cacheSlack: draftLength });
    // A head that always says id 0: every draft is right, and every byte closes a patch.
    const { weight } = model.head as unknown as { weight: { shape: [number, number]; assign(t: unknown): void } };
    const tf = await import('@tensorflow/tfjs-core');
    const zeros = tf.zeros(weight.shape);
    weight.assign(zeros);
    zeros.dispose();
    const [prompt] = textIds([9]);
    const run = async () => {
      const got = await speculate(model, prompt!, { temperature: 0, maxBytes: 24, draftLength, eos: null });
      expect([...new Set(got.ids)]).toEqual([0]);
      expect(got.acceptedShare).toBe(1);
      // 24 bytes are read, five at a time: each as it closes a patch, and four drafts behind it.
      expect([got.patches, got.mainPasses]).toEqual([24, 5]);
    };
    await run();
    await expectNoLeak(run);
    disposeTiny(model);
  });

  it('refuses what it cannot take back', async () => {
    const model = tinyModel('entropy');
    await expect(speculate(model, new Int32Array(0), { maxBytes: 3 })).rejects.toThrow(/prompt is empty/);
    await expect(speculate(model, Int32Array.of(1), { maxBytes: 3, draftLength: 0 })).rejects.toThrow(/draftLength/);
    disposeTiny(model);
  });
});
