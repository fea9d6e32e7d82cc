import { expectNoLeak, expectRecordedSteps, generated, kernelsNamed, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { disposeTiny, textIds, tinyModel } from './tiny-models.js';

const STEPS = 64;

describe('recorded steps of BLT', () => {
  beforeAll(() => useBackend('webgpu'));

  it.each([
    // Byte layers, patch layers and cross-attention, those of the entropy model among them.
    ['entropy', 9],
    ['all layers, projected', 11],
  ])('with %s are those of `step` and of the full pass across documents: patches and outputs, in at most twelve dispatches a block', async (kind, blocks) => {
    const model = tinyModel(kind);
    const prompts = [40, 47];
    const rows = textIds(prompts.map((n) => n + STEPS));
    rows.forEach((row, i) => row.set([2, 1], 60 + 9 * i));
    const { dispatches, kernels } = await expectRecordedSteps(model, rows, prompts, 2e-4);
    expect(dispatches).toBeLessThanOrEqual(12 * blocks);
    expect(kernelsNamed(kernels, /open patches|in slots|remember|entropy|last ids/)).toMatchSnapshot();
    disposeTiny(model);
  });

  it('generate the same text and patches as steps that are not, reading four bytes a byte', async () => {
    const model = tinyModel('entropy');
    const prompts = textIds([9]);
    const options = { eos: null, temperature: 0.7, maxBytes: 40 };
    const stepped = await generated(model, prompts, { ...options, recorded: false });
    await expectNoLeak(async () => {
      const recorded = await generated(model, prompts, options);
      expect(recorded.events).toEqual(stepped.events);
      expect(recorded.bytesRead).toBe(39 * 4);
    });
    disposeTiny(model);
  });
});
