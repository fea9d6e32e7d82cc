import type { SubwordTokenizer } from '@bytelm/distill';

export interface BoundaryCeiling {
  /** Share of bytes at which the more frequent answer for what is seen there is right: no rule on the same facts does better on this text. */
  accuracy: number;
  bytes: number;
}

/** Longer words are rare, and their beginnings decide nothing any more. */
const LONGEST_WORD = 32;

/**
 * How well anything could tell where a tokenizer's tokens end that sees the word so far and one byte ahead. Which of two merges a BPE takes
 * may depend on bytes further on (`un` + `it`, but `uni` + `verse`), so this is below one, and further below it the smaller the vocabulary.
 * Tokens do not cross words, so that what stands before the word adds nothing.
 */
export function boundaryCeiling(text: string, tokenizer: SubwordTokenizer): BoundaryCeiling {
  const { boundaryMask, symbols } = tokenizer.align(text);
  const answers = new Map<string, [no: number, yes: number]>();
  let start = 0;
  for (let i = 0; i + 1 < symbols.length; i++) {
    if (symbols[i] === 0x20 || symbols[i] === 0x0a || i - start >= LONGEST_WORD) start = i;
    const seen = String.fromCharCode(...symbols.subarray(start, i + 2));
    const counts = answers.get(seen) ?? [0, 0];
    counts[boundaryMask[i] ? 1 : 0]++;
    answers.set(seen, counts);
  }
  let right = 0;
  for (const counts of answers.values()) right += Math.max(...counts);
  return { accuracy: right / Math.max(1, symbols.length - 1), bytes: symbols.length };
}
