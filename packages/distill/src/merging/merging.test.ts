import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fixtureRoot } from '@bytelm/core/testing';
import { applyMerges, byteRows, compressionTarget, mergeRows, mergesByFrequency, mergesByScore, SubwordVocabulary, type TokenizerJson } from '../index.js';

const read = (name: string) => JSON.parse(readFileSync(join(fixtureRoot(), 'bolmo', name), 'utf8'));
const golden = read('merges.json') as {
  entropy: { scores: number[]; max_compression_ratio: number; merges: number[]; patch_lens: number[]; after: Record<string, number[]> }[];
  bpe: { ids: number[]; one_pass: number[] }[];
  bpe_repeated_pair: { ids: number[]; first8: number[]; max_compression_ratio: number };
};

describe('merging as the reference does', () => {
  it.each(golden.entropy)('by scores: list and patch lengths, $scores.length tokens', ({ scores, max_compression_ratio, merges, patch_lens, after }) => {
    const list = mergesByScore(scores, { until: max_compression_ratio });
    expect([...list]).toEqual(merges);
    for (const [target, expected] of Object.entries(after)) expect(applyMerges(patch_lens, list, Number(target)).patchLengths).toEqual(expected);
  });

  it.each(golden.bpe)('by frequency: the first pass over $ids', ({ ids, one_pass }) => {
    expect([...mergesByFrequency(ids)].slice(0, one_pass.length)).toEqual(one_pass);
  });

  it('by frequency: a repeated pair, where the reference turns random after the first pass', () => {
    const { ids, first8, max_compression_ratio } = golden.bpe_repeated_pair;
    const merges = [...mergesByFrequency(ids, { until: max_compression_ratio })];
    expect(merges.slice(0, 8)).toEqual(first8);
    // Equal merges are equal symbols: the second pass finds four pairs of the eight.
    expect(merges).toEqual([...first8, 0, 1, 2, 3]);
  });
});

describe('merging', () => {
  it('properties: bytes stay, the begin symbol stays alone, the target is met when the list allows', () =>
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 30 }), fc.double({ min: 1, max: 6, noNaN: true }), (ids, target) => {
        const lengths = [1, ...ids.map((id) => id + 1)];
        for (const merges of [mergesByFrequency(ids), mergesByScore(ids.map((id) => -id / 3))]) {
          const { patchLengths, mergedInto } = applyMerges(lengths, merges, target);
          const sum = (xs: number[]) => xs.reduce((a, b) => a + b, 0);
          expect(sum(patchLengths)).toBe(sum(lengths));
          expect(patchLengths[0]).toBe(1);
          patchLengths.forEach((n, p) => expect(sum(lengths.filter((_, i) => mergedInto[i] === p))).toBe(n));
          if (merges.length === ids.length - 1 && patchLengths.length > 2) expect((sum(lengths) - 1) / patchLengths.length).toBeGreaterThanOrEqual(target);
        }
      }),
    ));

  it('counts pairs of a run once each: aaaa has two, not three', () => expect([...mergesByFrequency([5, 5, 5, 5, 1, 2, 1, 2, 1, 2], { until: 0.7 })]).toEqual([4, 5, 6]));

  it('moves labels of rows to the ends of merged patches, and keeps those before a document end out', () => {
    const vocabulary = new SubwordVocabulary(read('toy_tokenizer/tokenizer.json') as TokenizerJson);
    const rows = byteRows([[256, 68, 268, 337, 77, 0]], { vocabulary });
    expect([...rows.patchLengths]).toEqual([1, 2, 1, 7, 1, 1]);
    const merged = mergeRows(rows, [Int32Array.of(0, 1)], 3);
    expect([...merged.patchLengths]).toEqual([1, 3, 8, 1, 0, 0]);
    expect([...merged.patchIds]).toEqual([0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3]);
    expect([...merged.boundaryLabels]).toEqual([1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    expect([...merged.patchMask]).toEqual([1, 1, 1, 1, 0, 0]);
    // Not merged, the label before the document end (byte 10) is out.
    expect([...mergeRows(rows, [new Int32Array(0)], 3).boundaryLabels]).toEqual([...rows.boundaryLabels]);
    expect(rows.boundaryLabels[10]).toBe(0);
  });

  it('raises its target in a straight line', () => {
    expect([0, 50, 100, 500].map((s) => compressionTarget(s, { start: 4, target: 8, steps: 100 }))).toEqual([4, 6, 8, 8]);
    expect(() => mergesByScore([1, 2], { until: 2 })).toThrow('[merging] until: expected a share between 0 and 1, got 2.');
  });
});
