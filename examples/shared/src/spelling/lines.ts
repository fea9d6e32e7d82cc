import { DataError, Rng } from '@bytelm/core';
import { answerOf, wordsIn, type Task } from './answers.js';
import { readPrompts, type Prompts } from './cute.js';

export interface WordsOptions {
  /** Words to leave out, in lower case, e.g. `cuteWords(rows)`. */
  without?: ReadonlySet<string>;
  /** Letters. Default 3 to 12. */
  minLength?: number;
  maxLength?: number;
  /** So many of the most frequent. Default: all. */
  most?: number;
}

/** Words of a text in lower case, letters a to z alone, the most frequent first. */
export function wordsOf(text: string, { without = new Set(), minLength = 3, maxLength = 12, most = Infinity }: WordsOptions = {}): string[] {
  const counts = new Map<string, number>();
  for (const word of wordsIn(text.toLowerCase())) {
    if (/^[a-z]+$/.test(word) && word.length >= minLength && word.length <= maxLength && !without.has(word)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)).slice(0, most).map(([word]) => word);
}

/** Tasks that lines can be made for out of words alone. */
export const WORD_LIST_TASKS = ['spell', 'spell_inverse', 'contains_char', 'ins_char', 'del_char', 'sub_char', 'swap_char', 'orth'] as const satisfies readonly Task[];
export type WordListTask = (typeof WORD_LIST_TASKS)[number];

export interface SpellingLinesOptions {
  words: readonly string[];
  /** Default: spelling, and inserting, deleting, substituting and swapping letters. */
  tasks?: readonly WordListTask[];
  count: number;
  seed?: number;
  /** CUTE's; the question is their last line. */
  prompts?: Prompts;
}

const PRACTISED: readonly WordListTask[] = ['spell', 'spell_inverse', 'ins_char', 'del_char', 'sub_char', 'swap_char'];

/**
 * Lines to practise on, in CUTE's words: `Question: Spell out the word "cat". Answer: "c a t"`. Tasks take turns; words are drawn.
 * @throws DataError when there are too few words.
 * @source Bolmo, arXiv 2512.15586, appendix C.
 */
export function spellingLines({ words, tasks = PRACTISED, count, seed = 0, prompts = readPrompts() }: SpellingLinesOptions): string[] {
  if (words.length < 3) throw new DataError(`[spellingLines] expected at least 3 words to practise on, got ${words.length}.`);
  const rng = new Rng(seed).fork('spelling');
  return Array.from({ length: count }, (_, i) => {
    const task = tasks[i % tasks.length]!;
    const inputs = draw(task, words, rng);
    return `${questionOf(prompts[task], inputs)} Answer: "${answerOf(task, inputs)}"`;
  });
}

/** The last line of a prompt with its `{}` filled. */
export const questionOf = (prompt: string, inputs: readonly string[]): string => fill(prompt.split('\n').at(-1)!.trim(), inputs);

export function fill(prompt: string, inputs: readonly string[]): string {
  let i = 0;
  return prompt.replace(/\{\}/g, () => inputs[i++] ?? '');
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz';

function draw(task: WordListTask, words: readonly string[], rng: Rng): string[] {
  const word = pick(words, rng);
  const letters = [...new Set(word)];
  const letter = pick(letters, rng);
  const other = pick([...ALPHABET].filter((c) => c !== letter), rng);
  switch (task) {
    case 'spell':
      return [word];
    case 'spell_inverse':
      return [[...word].join(' ')];
    case 'contains_char':
      return [rng.next() < 0.5 ? letter : pick([...ALPHABET].filter((c) => !word.includes(c)), rng), word];
    case 'del_char':
      return [letter, word];
    case 'ins_char':
      return [other, letter, word];
    case 'sub_char':
      return [letter, other, word];
    case 'swap_char':
      return [letter, pick(letters.length > 1 ? letters.filter((c) => c !== letter) : [other], rng), word];
    case 'orth': {
      // One letter off, against any other word.
      const at = rng.nextInt(word.length);
      const near = word.slice(0, at) + other + word.slice(at + 1);
      const pair = [near, pick(words, rng)];
      return [word, ...(rng.next() < 0.5 ? pair : pair.reverse())];
    }
  }
}

const pick = <T>(from: readonly T[], rng: Rng): T => from[rng.nextInt(from.length)]!;

/** Spreads lines evenly between the paragraphs of a text, each a paragraph of its own; the text itself stays as it is. */
export function withLines(text: string, lines: readonly string[]): string {
  // Paragraphs, and between them what separates them.
  const pieces = text.split(/(\n\s*\n)/);
  const paragraphs = (pieces.length + 1) / 2;
  let out = '';
  let given = 0;
  for (let i = 0; i < paragraphs; i++) {
    out += pieces[2 * i]!;
    const due = Math.floor(((i + 1) / paragraphs) * lines.length);
    for (const line of lines.slice(given, due)) out += `\n\n${line}`;
    given = due;
    out += pieces[2 * i + 1] ?? '';
  }
  return out;
}
