import { SubwordTokenizer } from '@bytelm/distill';
import { readBytes } from '@bytelm/example-shared/train';
import type { Recipe } from '../recipe.js';

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
export function boundaryCeiling(text: string, tokenizer: Pick<SubwordTokenizer, 'align'>): BoundaryCeiling {
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

/** Text to count on: cutting more of it into tokens takes longer than it tells. */
const COUNTED_BYTES = 2_000_000;

/** The ceiling of a recipe's tokenizer on the beginning of its text. */
export async function ceilingOf({ data, tokenizer }: Recipe): Promise<BoundaryCeiling> {
  const [start, end] = data.range;
  const bytes = await readBytes(data.files, [start, Math.min(end ?? Infinity, start + COUNTED_BYTES)]);
  // A range may begin and end inside a character.
  const text = new TextDecoder().decode(bytes).replace(/^\uFFFD+|\uFFFD+$/g, '');
  return boundaryCeiling(text, await SubwordTokenizer.fromFolder(tokenizer));
}
