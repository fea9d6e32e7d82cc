import { argmax, Embedding, LinearHead, packWeight, Rng, SequenceContext, SequenceLM, withWeightFormat } from '@bytelm/core';
import { expectNoLeak, expectRecordedSteps, generated, kernelsNamed, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { EntropyModel } from './entropy-model.js';
import { LatentTransformer, type LatentTransformerConfig } from './layers/latent-transformer.js';

const [V, EOS, STEPS] = [24, 2, 64];
/** Documents of 11 to 40 ids. */
const ids = (seed: number, length: number) => Int32Array.from({ length }, (_, t) => (t % 51 === 11 + seed ? EOS : 3 + ((t * t * 7 + seed * 5 + t) % (V - 3))));
const rows = [ids(0, 5 + STEPS), ids(1, 9 + STEPS)];

/** LlamaByte in small: no window, so that caches grow. */
function byteTransformer(config: Partial<LatentTransformerConfig>, given: Rng | null = new Rng(8)): SequenceLM {
  const rng = given ?? undefined;
  const backbone = new LatentTransformer({ dModel: 16, numLayers: 2, numHeads: 4, dIntermediate: 24, cacheCapacity: 8, initStd: 0.3, ...config }, rng);
  return new SequenceLM({ embed: new Embedding({ vocabSize: V, dModel: 16 }, rng), backbone, head: new LinearHead({ vocabSize: V, dModel: 16, initStd: 0.3 }, rng) });
}

describe('recorded steps of transformers', () => {
  beforeAll(() => useBackend('webgpu'));

  it('are those of `step` and of the full pass over several windows and documents, in nine dispatches a block', async () => {
    const model = new EntropyModel({ dModel: 12, numLayers: 2, numHeads: 2, dIntermediate: 16, window: 4, vocabSize: V }, new Rng(2));
    await expectRecordedSteps(model, rows.map((r) => r.subarray(0, 12)), [8, 8], 1e-4); // Rotary tables are made and stay.
    // Embedding, blocks, norm, head, document ends.
    await expectNoLeak(async () => {
      const { dispatches, kernels } = await expectRecordedSteps(model, rows, [5, 9], 1e-4);
      expect(dispatches).toBe(2 * 9 + 4);
      expect(kernelsNamed(kernels, /claim|document ends/)).toMatchSnapshot();
    });
    model.dispose();
  });

  it.each<[string, Partial<LatentTransformerConfig>, number]>([
    ['grouped heads and biases', { numKvHeads: 2, bias: true }, 9],
    ['norms behind and of all heads', { names: 'olmo', qkNorm: 'all-heads', dInput: 16 }, 10],
  ])('are those of `step` while caches grow, with %s', async (_, config, perBlock) => {
    const model = byteTransformer(config);
    expect((await expectRecordedSteps(model, rows, [5, 9], 2e-4)).dispatches).toBe(2 * perBlock + 3);
    model.dispose();
  });

  it.each<[string, Partial<LatentTransformerConfig>, number]>([
    ['one matrix for several', {}, 9],
    ['matrices of their own', { names: 'meta' }, 12],
  ])('are those of `step` with bf16 weights, %s', async (_, config, perBlock) => {
    const rng = new Rng(6);
    const model = withWeightFormat('bf16', () => byteTransformer({ numLayers: 1, ...config }, null));
    for (const [name, v] of model.parameters()) {
      const [rows, columns] = v.shape as [number, number];
      if (name.includes('norm')) continue;
      const values = rng.fork(name).normal([rows, v.dtype === 'int32' ? 2 * columns : columns], 0.3);
      const filled = v.dtype === 'int32' ? packWeight((await values.data()) as Float32Array, [rows, 2 * columns], 'bf16').words : values;
      v.assign(filled as never);
    }
    // Embedding, block, norm, head; the full pass is compared elsewhere.
    const { dispatches } = await expectRecordedSteps(model, rows.map((r) => r.subarray(0, 30)), [5, 5], 2e-4, { fullPass: false });
    expect(dispatches).toBe(perBlock + 3);
    model.dispose();
  });

  it('generate the same texts as steps that are not: 16 bytes read for four rows, which end on their own', async () => {
    const model = byteTransformer({});
    const prompts = [3, 7, 4, 9].map((n, b) => ids(b, n));
    const options = { maxBytes: 80, eos: 20, temperature: 0.8, topK: 12 };
    const recorded = await generated(model, prompts, options);
    const stepped = await generated(model, prompts, { ...options, recorded: false });
    expect(recorded.events).toEqual(stepped.events);
    const ends = recorded.events.flatMap((e) => (e.type === 'end' ? [e] : []));
    expect(ends.map((e) => e.reason)).toContain('eos');
    const steps = Math.max(...recorded.events.map((e) => (e.type === 'byte' ? e.index : 0))) + (ends.some((e) => e.reason === 'length') ? 0 : 1);
    expect(recorded.bytesRead).toBe(16 * steps);
    model.dispose();
  });

  it('go on where the caches of a recording are full', async () => {
    const model = byteTransformer({ numLayers: 1 });
    const prompt = ids(0, 9);
    const { events } = await generated(model, [prompt], { maxBytes: 270, eos: null, temperature: 0 });
    const text = Int32Array.of(...prompt, ...events.flatMap((e) => (e.type === 'byte' ? [e.id] : [])));
    expect(text.length).toBe(9 + 270);
    const ctx = new SequenceContext(1, text.length, { ids: text });
    const logits = await model.logits(text, ctx);
    const values = await logits.data();
    for (let t = 8; t < text.length - 1; t++) expect(argmax(values.slice(t * V, (t + 1) * V)), `byte ${t + 1}`).toBe(text[t + 1]);
    logits.dispose();
    ctx.dispose();
    model.dispose();
  });
});
