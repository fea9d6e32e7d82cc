import { expect, it } from 'vitest';
import type { SubwordTokenizer } from '@bytelm/distill';
import { boundaryCeiling } from '../src/phases/boundary-ceiling.js';

/** Ends a token at x where q stands two bytes further on, and before every blank. */
const tokenizer = {
  align(text: string) {
    const symbols = Uint16Array.from(text, (c) => c.charCodeAt(0));
    return { symbols, boundaryMask: Uint8Array.from(text, (c, i) => ((c === 'x' && text[i + 2] === 'q') || text[i + 1] === ' ' ? 1 : 0)) };
  },
} as unknown as SubwordTokenizer;

it('is one where one byte ahead decides', () => {
  expect(boundaryCeiling(' xaq xbr xaq xbr', tokenizer)).toEqual({ accuracy: 1, bytes: 16 });
});

it('gives what the more frequent answer gets right where it does not', () => {
  // Behind " xa" comes q three times and r once: one x of four is told wrong.
  expect(boundaryCeiling(' xaq xaq xar xaq', tokenizer).accuracy).toBeCloseTo(1 - 1 / 15, 10);
  // What stands before the word is not looked at, the word so far is.
  expect(boundaryCeiling(' xaq bxar xaq bxar', tokenizer).accuracy).toBe(1);
});
