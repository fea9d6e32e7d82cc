import { Embedding, generate, LinearHead, Rng, SequenceLM } from '@bytelm/core';
import { expectNoLeak, expectRecordedSteps, generated, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { mamba2Stack } from '../modules/mamba2-stack.js';
import { Mamba2LM } from './mamba2-lm.js';

const [V, EOS, STEPS] = [24, 2, 64];
const SIZES = { dModel: 16, headDim: 8, dState: 8, initStd: 0.3 };
const ids = (seed: number, length: number) => Int32Array.from({ length }, (_, t) => (t % 23 === 11 + seed ? EOS : 3 + ((t * t * 7 + seed * 5 + t) % (V - 3))));

describe('recorded steps of Mamba-2', () => {
  beforeAll(() => useBackend('webgpu'));

  it('are those of `step` and of the full pass, for rows of different lengths, across documents, in seven dispatches a block', async () => {
    const rng = new Rng(1);
    const backbone = mamba2Stack({ ...SIZES, nLayers: 2 }, rng);
    const model = new SequenceLM({ embed: new Embedding({ vocabSize: V, dModel: 16 }, rng), backbone, head: new LinearHead({ vocabSize: V, dModel: 16, initStd: 0.3 }, rng) }, { documentEnds: [EOS] });
    // Embedding, blocks (one of the seven forgets), norm, head, document ends.
    await expectNoLeak(async () => expect((await expectRecordedSteps(model, [ids(0, 5 + STEPS), ids(1, 9 + STEPS)], [5, 9], 2e-4)).dispatches).toBe(2 * 7 + 4));
    model.dispose();
  });

  it('generate the same text as steps that are not, reading four bytes a byte, over 200 steps without a leak', async () => {
    const model = new Mamba2LM({ ...SIZES, nLayers: 1, vocabSize: V }, new Rng(4));
    const prompts = [ids(0, 7)];
    const options = { eos: null, temperature: 0.9, topP: 0.95 };
    const stepped = await generated(model, prompts, { ...options, maxBytes: 64, recorded: false });
    expect(stepped.bytesRead).toBe(63 * V * 4);
    await expectNoLeak(async () => {
      const recorded = await generated(model, prompts, { ...options, maxBytes: 200 });
      expect(recorded.bytesRead).toBe(199 * 4);
      expect(recorded.events.slice(0, 64)).toEqual(stepped.events.slice(0, 64));
    });
    model.dispose();
  });

  it('see weights that are assigned meanwhile', async () => {
    const run = async (recorded: boolean) => {
      const model = new Mamba2LM({ ...SIZES, nLayers: 1, vocabSize: V }, new Rng(4));
      const bytes: number[] = [];
      for await (const event of generate(model, [ids(0, 7)], { maxBytes: 16, eos: null, temperature: 0.9, rng: new Rng(2), recorded })) {
        if (event.type !== 'byte') continue;
        bytes.push(event.id);
        if (event.index !== 6) continue;
        for (const v of model.parameters().values()) if (v.rank === 2) v.assign(new Rng(9).normal(v.shape, 0.4) as never);
      }
      model.dispose();
      return bytes;
    };
    expect(await run(true)).toEqual(await run(false));
  });
});
