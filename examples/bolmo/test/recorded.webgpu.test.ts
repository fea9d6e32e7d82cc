import { expectNoLeak, expectRecordedSteps, generated, kernelsNamed, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { textIds, tinyModel } from './tiny-models.js';

const STEPS = 64;

describe('recorded steps of Bolmo', () => {
  beforeAll(() => useBackend('webgpu'));

  it('are those of `step`: subwords, emitted boundaries and outputs, in at most twelve dispatches a block', async () => {
    const model = await tinyModel();
    const prompts = [7, 12];
    const rows = textIds(prompts.map((n) => n + STEPS));
    // Every few bytes one ends its patch.
    rows.forEach((row, b) => row.forEach((id, t) => (row[t] = t >= prompts[b]! && (t * t + b) % 4 === 0 ? id + model.boundaryFrom! : id)));
    // Full passes look ahead; three local layers and two of the body.
    const { dispatches, kernels } = await expectRecordedSteps(model, rows, prompts, 2e-4, { fullPass: false });
    expect(dispatches).toBeLessThanOrEqual(12 * 5);
    expect(kernelsNamed(kernels, /subword|emitted|latest/)).toMatchSnapshot();
    model.dispose();
  });

  it('generate the same bytes and patches as steps that are not, reading four bytes a byte', async () => {
    const model = await tinyModel();
    const prompts = textIds([9]);
    const options = { eos: null, temperature: 0.7, maxBytes: 40 };
    const stepped = await generated(model, prompts, { ...options, recorded: false });
    expect(stepped.events.some((e) => e.type === 'byte' && e.endsChunk)).toBe(true);
    await expectNoLeak(async () => {
      const recorded = await generated(model, prompts, options);
      expect(recorded.events).toEqual(stepped.events);
      expect(recorded.bytesRead).toBe(39 * 4);
    });
    model.dispose();
  });
});
