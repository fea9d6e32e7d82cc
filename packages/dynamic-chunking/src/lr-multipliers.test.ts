import { describe, expect, it } from 'vitest';
import { stageLrMultipliers } from './lr-multipliers.js';

describe('stageLrMultipliers', () => {
  it.each([
    ['1stage_L', [6], [1024, 1536], [2.627, 0.876]],
    ['1stage_XL', [6], [1024, 2048], [3.033, 0.876]],
    ['2stage_L', [3, 3], [1024, 1024, 1536], [2.627, 1.517, 0.715]],
    ['2stage_XL', [3, 3], [1024, 1536, 2048], [3.033, 1.43, 0.715]],
  ])('gives the published values for %s', (_, bytesPerChunk, widths, expected) => {
    stageLrMultipliers({ bytesPerChunk, widths }).forEach((m, s) => expect(m).toBeCloseTo(expected[s]!, 3));
  });

  it('refuses lists that do not fit', () => {
    expect(() => stageLrMultipliers({ bytesPerChunk: [3, 3], widths: [8, 16] })).toThrow(/2 widths need 1 chunk sizes, got 2/);
  });
});
