import { describe, expect, it } from 'vitest';
import { Rng } from '../rng.js';
import { loadCase } from '../testing/fixtures.js';
import { maxError } from '../testing/expect.js';
import { checkSamplingOptions, filteredProbabilities, pick, sample } from './sampling.js';

describe('sampling', () => {
  const c = loadCase('kernels', 'sampling');
  const values = (n: string) => c.tensors.get(n)!.values;
  const [rows, V] = c.tensors.get('in.logits')!.shape as [number, number];

  it.each(Object.entries(c.attrs.settings as Record<string, any>))('fixture setting %s', (name, s) => {
    for (let r = 0; r < rows; r++) {
      const probs = filteredProbabilities(values('in.logits').subarray(r * V, (r + 1) * V), { temperature: s.temperature, topK: s.top_k, topP: s.top_p });
      expect(maxError(probs, values(`out.probs_${name}`).subarray(r * V, (r + 1) * V))).toBeLessThanOrEqual(c.tol[`out.probs_${name}`]!);
      expect(pick(probs, values('in.u')[r]!)).toBe(values(`out.id_${name}`)[r]);
    }
  });

  it('keeps the best id however small p is, and breaks ties by the lower id', () => {
    expect([...filteredProbabilities([1, 3, 3, 0], { topP: 1e-9 })]).toEqual([0, 1, 0, 0]);
    expect([...filteredProbabilities([1, 3, 3, 0], { temperature: 0 })]).toEqual([0, 1, 0, 0]);
  });

  it('draws with the frequencies of the distribution', () => {
    const rng = new Rng(5);
    const counts = [0, 0, 0];
    for (let i = 0; i < 6000; i++) counts[sample([Math.log(1), Math.log(2), Math.log(3)], {}, rng)]!++;
    counts.forEach((n, i) => expect(n / 6000).toBeCloseTo((i + 1) / 6, 1));
  });

  it('names every option out of range', () => {
    expect(() => checkSamplingOptions({ temperature: -1, topK: 0, topP: 2 })).toThrow(
      '[sample] temperature -1: expected a number >= 0; topK 0: expected a whole number >= 1; topP 2: expected a number above 0, at most 1.',
    );
  });
});
