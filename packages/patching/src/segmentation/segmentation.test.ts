import { SequenceContext } from '@bytelm/core';
import { useBackend } from '@bytelm/core/testing';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { patchLengths, patchStarts, segmentationFromLengths, segmentationFromStarts } from './convert.js';
import { decoderPatchIds, lengthsFromStarts, patchIds, splitLongLengths, startsFromLengths, uniformLengths } from './lengths.js';

/** Lengths in the next-token convention: 1 first, then at least one more position for the id to come. */
const lengthsArbitrary = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 }).map((rest) => [1, ...rest]);
const sum = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0);

describe('conversions', () => {
  beforeAll(() => useBackend('cpu'));

  it('follow the example of the specification', async () => {
    const lengths = [1, 2, 3, 1];
    expect([...patchIds(lengths, 6)]).toEqual([0, 1, 1, 2, 2, 2]);
    expect([...decoderPatchIds(lengths, 6)]).toEqual([0, 0, 1, 1, 1, 2]);
    const seg = segmentationFromLengths([lengths]);
    expect([seg.length, seg.drawnAt, [...seg.boundaryMask]]).toEqual([6, 'end', [1, 0, 1, 0, 0, 1]]);
    expect([...(await seg.visibleChunk().data())]).toEqual([0, 0, 1, 1, 1, 2]);
    expect([...(await seg.pooledInto().data())]).toEqual([0, 1, 1, 2, 2, 2]);
    seg.dispose();
  });

  it('go there and back', () =>
    fc.assert(
      fc.property(fc.array(lengthsArbitrary, { minLength: 1, maxLength: 4 }), (rows) => {
        const lengths = rows.map((r) => sum(r) - 1);
        const seg = segmentationFromLengths(rows, { lengths });
        const ctx = new SequenceContext(rows.length, seg.length, { lengths });
        expect(patchLengths(seg, ctx)).toEqual(rows);
        expect(patchStarts(seg, ctx)).toEqual(rows.map(startsFromLengths));
        expect(patchLengths(seg, ctx, { nextToken: false }).map(sum)).toEqual(lengths);
        const again = segmentationFromStarts(patchStarts(seg, ctx), lengths, { length: seg.length });
        expect([...again.boundaryMask]).toEqual([...seg.boundaryMask]);
      }),
    ));

  it('splitting keeps sums and old starts', () =>
    fc.assert(
      fc.property(lengthsArbitrary, fc.integer({ min: 1, max: 10 }), (lengths, max) => {
        const split = splitLongLengths(lengths, max);
        expect(sum(split)).toBe(sum(lengths));
        expect(Math.max(...split)).toBeLessThanOrEqual(max);
        const starts = startsFromLengths(split);
        for (const s of startsFromLengths(lengths)) expect(starts).toContain(s);
      }),
    ));

  it('ids grow by 0 or 1, and the decoder is one patch behind', () =>
    fc.assert(
      fc.property(lengthsArbitrary, (lengths) => {
        const n = sum(lengths) - 1;
        const ids = patchIds(lengths, n + 1);
        const decoder = decoderPatchIds(lengths, n);
        decoder.forEach((d, i) => expect(d).toBe(ids[i + 1]! - 1));
        ids.forEach((id, i) => i > 0 && expect([0, 1]).toContain(id - ids[i - 1]!));
      }),
    ));

  it('cover N or N + 1 positions', () => {
    expect(lengthsFromStarts([0, 1, 4], 4)).toEqual([1, 3, 1]);
    expect(lengthsFromStarts([0, 1, 4], 4, { nextToken: false })).toEqual([1, 3]);
    expect(uniformLengths(7, 3)).toEqual([3, 3, 2]);
  });

  it('rounds the chunk axis and takes zeros behind', () => {
    const seg = segmentationFromLengths([[1, 2, 1, 0, 0], [1, 1, 1, 1, 1]], { padTo: 8 });
    expect([[...seg.numChunks], seg.maxChunks]).toEqual([[2, 4], 8]);
  });

  it('name the row and the sum in errors', () => {
    const fails = (rows: number[][], options = {}) => {
      try {
        segmentationFromLengths(rows, options);
      } catch (e) {
        return (e as Error).message;
      }
      return 'no error';
    };
    expect(fails([[1, 2, 1], [1, 2]], { lengths: [3, 3] })).toBe(
      '[segmentationFromLengths] row 1: expected lengths that sum to 3 ids + 1 = 4, got 3. Hint: these count the ids only; with the next-token convention the last length covers the id to come, too.',
    );
    expect(fails([[1, 9]], { length: 5 })).toBe('[segmentationFromLengths] row 0: expected lengths that sum to 5 ids + 1 = 6, got 10. Hint: do the lengths belong to these rows?');
    expect(fails([[1, 1], [3, 1]])).toBe('[segmentationFromLengths] row 1: expected a first length of 1, got 3 (sum 4). Hint: the first id is a patch of its own; split it off.');
    expect(fails([[1, 2, 0, 2]])).toBe('[segmentationFromLengths] row 0: expected zeros only behind the last patch, got 2 at patch 3 behind a 0 (sum so far 3).');
    expect(fails([[1, 1.5]])).toBe('[segmentationFromLengths] row 0: expected whole numbers, got 1.5 at patch 1.');
  });
});
