import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { calibrateThreshold } from './calibrate.js';
import { startsFromEntropy } from './entropy-rule.js';

const documents = fc.array(fc.array(fc.float({ min: 0, max: 5, noNaN: true }), { minLength: 30, maxLength: 60 }), { minLength: 2, maxLength: 4 });
const patches = (docs: number[][], rule: Parameters<typeof startsFromEntropy>[1]) => docs.reduce((n, e) => n + startsFromEntropy(e, { ...rule, nextToken: false }).length, 0);

it('no other threshold comes nearer to the target', () =>
  fc.assert(
    fc.asyncProperty(documents, fc.float({ min: 2, max: 4, noNaN: true }), fc.boolean(), fc.float({ min: 0, max: 5, noNaN: true }), async (docs, target, monotonic, other) => {
      const found = await calibrateThreshold({ entropies: docs, targetBytesPerChunk: target, monotonic }).catch((e: Error) => e.message);
      // Equal entropies may leave too few lengths to choose from; the error then says which there are.
      if (typeof found === 'string') return expect(found).toContain('with this rule on these texts');
      const bytes = docs.flat().length;
      expect(found.chunks).toBe(patches(docs, { threshold: found.threshold, monotonic }));
      expect(found.bytesPerChunk).toBe(bytes / found.chunks);
      expect(Math.abs(found.bytesPerChunk - target)).toBeLessThanOrEqual(Math.abs(bytes / patches(docs, { threshold: other, monotonic }) - target) + 1e-12);
    }),
    { numRuns: 60 },
  ));

it('says what can be had', async () => {
  const entropies = [[9, 1, 2, 3, 2, 1, 4, 3]];
  await expect(calibrateThreshold({ entropies, targetBytesPerChunk: 40 })).rejects.toThrow('targetBytesPerChunk: expected 1.00 to 4.00 with this rule on these texts, got 40.');
  await expect(calibrateThreshold({ entropies, targetBytesPerChunk: 0.5 })).rejects.toThrow('expected a number from 1, got 0.5');
  await expect(calibrateThreshold({ entropies: [], targetBytesPerChunk: 4 })).rejects.toThrow('expected documents with content');
  await expect(calibrateThreshold({ targetBytesPerChunk: 4 })).rejects.toThrow('expected `model` and `texts`, or `entropies`');
});
