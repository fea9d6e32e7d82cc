import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ByteLM, SequenceContext } from '@bytelm/core';
import { useBackend } from '@bytelm/core/testing';
import { answerOf, byteCodec, cuteWords, evaluateSpelling, levenshtein, readCute, spellingLines, tokenCodec, WORD_LIST_TASKS, withLines, wordsOf, type CuteRow, type TextCodec } from './index.js';

const VOCABULARY = { offset: 4, vocabSize: 260, bos: 1, eos: 1 };
const { prompts, rows } = readCute();

describe('the answers', () => {
  it('are those of CUTE, for all tasks but the one about meaning', () => {
    const wrong = rows.filter((r) => r.task !== 'sem' && answerOf(r.task, r.inputs) !== r.label);
    expect(wrong).toEqual([]);
    expect(new Set(rows.map((r) => r.task)).size).toBe(14);
  });

  it('edit distances', () => expect([levenshtein('kitten', 'sitting'), levenshtein('', 'ab'), levenshtein('ab', 'ab')]).toEqual([3, 2, 0]));
});

describe('lines to practise on', () => {
  const text = 'The captain saw the ships. The sailors saw the captain; nobody saw Ahab’s whale.\n\nThe end of the first part.\n\nAnd a second.';
  const words = wordsOf(text, { without: new Set(['captain']), minLength: 4 });

  it('words: by frequency, without those that are asked for later', () => {
    expect(words).toEqual(['ahab’s', 'first', 'nobody', 'part', 'sailors', 'second', 'ships', 'whale'].filter((w) => /^[a-z]+$/.test(w)));
    expect(wordsOf(text, { most: 2 })).toEqual(['the', 'saw']);
    const asked = cuteWords(rows);
    for (const row of rows.filter((r) => r.task === 'spell_inverse')) expect(asked.has(row.label)).toBe(true);
  });

  it('are questions of CUTE with the right answer, whatever the task', () => {
    const lines = spellingLines({ words, tasks: WORD_LIST_TASKS, count: 200, seed: 3 });
    expect(lines).toHaveLength(200);
    expect(lines[0]).toMatch(/^Question: Spell out the word "([a-z]+)"\. Answer: "[a-z]( [a-z])*"$/);
    for (const [i, line] of lines.entries()) {
      const task = WORD_LIST_TASKS[i % WORD_LIST_TASKS.length]!;
      const inputs = [...line.split('Answer: ')[0]!.matchAll(/"([^"]*)"/g)].map((m) => m[1]!);
      expect(line.endsWith(`Answer: "${answerOf(task, inputs)}"`), line).toBe(true);
      const used = inputs.at(task === 'orth' ? 0 : -1)!.replaceAll(' ', '');
      expect(words, line).toContain(used);
    }
    expect(spellingLines({ words, count: 5, seed: 3 })).toEqual(spellingLines({ words, count: 9, seed: 3 }).slice(0, 5));
    expect(spellingLines({ words, count: 5, seed: 4 })).not.toEqual(spellingLines({ words, count: 5, seed: 3 }));
    expect(() => spellingLines({ words: ['one'], count: 1 })).toThrow(/expected at least 3 words/);
  });

  it('stand between the paragraphs of a text, evenly', () => {
    expect(withLines(text, ['A', 'B', 'C']).split('\n\n').map((p) => p.slice(0, 7))).toEqual(['The cap', 'A', 'The end', 'B', 'And a s', 'C']);
    expect(withLines('one paragraph', ['A', 'B'])).toBe('one paragraph\n\nA\n\nB');
    const wide = 'a\n\n\n\nb\n  \nc';
    expect([withLines(wide, []), withLines(wide, ['A'])]).toEqual([wide, `${wide}\n\nA`]);
  });
});

/** Says what it was told to say behind a prompt, id by id. */
class Parrot implements ByteLM<string[]> {
  readonly vocabSize: number;
  constructor(
    private readonly codec: TextCodec,
    private readonly says: (prompt: string) => string,
    private readonly ids: (text: string) => number[],
  ) {
    this.vocabSize = VOCABULARY.vocabSize;
  }
  parameters = () => new Map();
  dispose(): void {}
  logits(): never {
    throw new Error('not used');
  }
  initState = (batch: number) => Array<string>(batch).fill('');
  private next(read: string): number {
    const cut = read.indexOf('Answer: "', read.lastIndexOf('Question: ')) + 9;
    const said = this.ids(read.slice(cut)).length;
    return this.ids(`${this.says(read.slice(0, cut))}"`)[said] ?? 0;
  }
  private textOf = (ids: ArrayLike<number>) => new TextDecoder().decode(this.codec.decode(Array.from(ids).slice(0)));
  prefill(ids: Int32Array, state: string[], { batch, length, lengths }: SequenceContext) {
    const all = new Float32Array(batch * length * this.vocabSize);
    const next = state.map((_, b) => {
      const n = lengths?.[b] ?? length;
      const read = this.textOf(ids.subarray(b * length + 1, b * length + n));
      all[(b * length + n - 1) * this.vocabSize + this.next(read)] = 1;
      return read;
    });
    return { logits: tf.tensor3d(all, [batch, length, this.vocabSize]), state: next };
  }
  step(ids: Int32Array, state: string[], rowsOfStep?: readonly number[]) {
    const all = new Float32Array(ids.length * this.vocabSize);
    ids.forEach((id, i) => {
      const row = rowsOfStep ? rowsOfStep[i]! : i;
      state[row] += this.textOf([id]);
      all[i * this.vocabSize + this.next(state[row]!)] = 1;
    });
    return { logits: tf.tensor2d(all, [ids.length, this.vocabSize]), state, fired: [] };
  }
}

describe('the evaluation', () => {
  beforeAll(() => useBackend('cpu'));
  const bytes = byteCodec(VOCABULARY);
  const toIds = (text: string) => Array.from(new TextEncoder().encode(text), (b) => b + 4);
  const labelIn = (some: readonly CuteRow[]) => (prompt: string) => {
    const question = prompt.slice(prompt.lastIndexOf('Question: '));
    const row = some.find((r) => question === `${fillLast(prompts[r.task], r.inputs)} Answer: "`)!;
    return row.label;
  };
  const fillLast = (prompt: string, inputs: readonly string[]) => {
    let i = 0;
    return prompt.split('\n').at(-1)!.trim().replace(/\{\}/g, () => inputs[i++]!);
  };

  it('is 1 for who always knows and 0 for who says something longer, shorter or else', async () => {
    const some = [...rows.filter((r) => r.task === 'spell').slice(0, 9), ...rows.filter((r) => r.task === 'sub_word').slice(0, 3)];
    const label = labelIn(some);
    const right = await evaluateSpelling(new Parrot(bytes, label, toIds), bytes, some, { batch: 5 });
    expect(right.accuracy).toBe(1);
    expect(right.tasks.spell).toEqual({ right: 9, count: 9, accuracy: 1 });
    expect(right.examples.map((e) => e.got)).toEqual(right.examples.map((e) => `${e.wanted}"`));
    for (const wrong of [(t: string) => `${t}s`, (t: string) => t.slice(0, -1), () => 'x', (t: string) => t.toUpperCase()]) {
      const report = await evaluateSpelling(new Parrot(bytes, (p) => wrong(label(p)), toIds), bytes, some);
      // Tasks about words compare in lower case.
      const forgiven = wrong('a') === 'A' ? 1 : 0;
      expect([report.tasks.spell!.accuracy, report.tasks.sub_word!.accuracy]).toEqual([0, forgiven]);
      expect(report.accuracy).toBe(forgiven / 2);
    }
  });

  it('asks with the four solved examples, or the question alone', async () => {
    const row = rows.find((r) => r.task === 'spell')!;
    const prompt = async (options: object) => (await evaluateSpelling(new Parrot(bytes, labelIn([row]), toIds), bytes, [row], options)).examples[0]!.prompt;
    expect(await prompt({})).toBe(`Question: Spell out the word "${row.inputs[0]}". Answer: "`);
    expect(await prompt({ shots: 4 })).toContain('\n            1. Spell out the word "alphabet". Answer: "a l p h a b e t"\n');
    expect(await prompt({ shots: 4, stripped: true })).toContain('\n1. Spell out the word "alphabet"');
  });

  it('a model over tokens is asked the same', async () => {
    // Tokens of two bytes where they fit: the closing quote comes with what is before it.
    const pairs = new Map<string, number>();
    const idsOf = (text: string) => (text.match(/[^]{1,2}/g) ?? []).map((pair) => pairs.get(pair) ?? (pairs.set(pair, pairs.size + 2), pairs.size + 1));
    const texts = () => new Map([...pairs].map(([text, id]) => [id, text]));
    const tokenizer = {
      encode: (text: string) => Int32Array.from(idsOf(text)),
      toBytes: (ids: readonly number[]) => new TextEncoder().encode(ids.map((id) => texts().get(id)).join('')),
      vocabulary: { has: (id: number) => texts().has(id) },
    };
    const codec = tokenCodec(tokenizer, 1);
    const some = rows.filter((r) => r.task === 'spell').slice(0, 4);
    const model = new Parrot(codec, labelIn(some), idsOf);
    expect((await evaluateSpelling(model, codec, some)).accuracy).toBe(1);
  });
});
