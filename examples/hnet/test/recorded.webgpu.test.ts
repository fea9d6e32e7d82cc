import { expectNoLeak, expectRecordedSteps, generated, kernelsNamed, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { textIds, tinyModel } from './tiny-models.js';

const END = 255;
const STEPS = 64;
/** Two rows of unequal length; a document ends in one of them. */
const rows = () => {
  const [a, b] = textIds([5 + STEPS, 12 + STEPS]) as [Int32Array, Int32Array];
  a[31] = END;
  return [a, b];
};

describe('recorded steps of H-Net', () => {
  beforeAll(() => useBackend('webgpu'));

  it.each([
    ['one stage', 5],
    ['two stages', 6],
  ])('with %s are those of `step` and of the full pass: boundaries and outputs, in at most twelve dispatches a block', async (kind, blocks) => {
    const model = tinyModel(kind, 1, { documentEnds: [END] });
    const { dispatches, kernels } = await expectRecordedSteps(model, rows(), [5, 12], 2e-4);
    expect(dispatches).toBeLessThanOrEqual(12 * blocks);
    // What steps have of their own: routing, smoothing, and kernels that leave in rows that take no part.
    expect(kernelsNamed(kernels, /^route|^dechunk|isActive|claim.*active|product.*"isMasked":true/)).toMatchSnapshot();
    model.dispose();
  });

  it('generate the same text and chunks as steps that are not, reading four bytes a byte, over 200 steps without a leak', async () => {
    const model = tinyModel('one stage');
    const prompts = textIds([9]);
    const options = { eos: null, temperature: 0.7 };
    const stepped = await generated(model, prompts, { ...options, maxBytes: 64, recorded: false });
    await expectNoLeak(async () => {
      const recorded = await generated(model, prompts, { ...options, maxBytes: 200 });
      expect(recorded.bytesRead).toBe(199 * 4);
      expect(recorded.events.slice(0, stepped.events.length - 1)).toEqual(stepped.events.slice(0, -1));
      expect(new Set(recorded.events.flatMap((e) => (e.type === 'boundary' ? e.fired : [])))).toEqual(new Set([0, 1]));
    });
    model.dispose();
  });
});
