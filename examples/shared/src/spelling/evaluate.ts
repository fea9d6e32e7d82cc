import { ByteTokenizer, generate, type ByteLM, type ByteVocabulary } from '@bytelm/core';
import type { CuteRow, Prompts } from './cute.js';
import { readPrompts } from './cute.js';
import { fill, questionOf } from './lines.js';
import type { Task } from './answers.js';

/** How a model reads and writes text, whatever its ids stand for. */
export interface TextCodec {
  /** With what starts a text. */
  encode(text: string): Int32Array;
  /** Bytes of generated ids. */
  decode(ids: readonly number[]): Uint8Array;
  /** Id that ends a text. */
  eos: number | null;
}

export function byteCodec(vocabulary: ByteVocabulary): TextCodec {
  const tokenizer = new ByteTokenizer(vocabulary);
  return { encode: (text) => tokenizer.encode(text), decode: (ids) => tokenizer.toBytes(ids), eos: vocabulary.eos };
}

/** What is needed of a `SubwordTokenizer`. */
export interface TokenReader {
  encode(text: string): Int32Array;
  toBytes(ids: readonly number[]): Uint8Array;
  vocabulary: { has(id: number): boolean };
}

/** @param start Token that starts a text. @param end Token that ends one. Models may have more rows than tokens: those say nothing. */
export function tokenCodec(tokenizer: TokenReader, start: number, end: number | null = start): TextCodec {
  return { encode: (text) => Int32Array.of(start, ...tokenizer.encode(text)), decode: (ids) => tokenizer.toBytes(ids.filter((id) => tokenizer.vocabulary.has(id))), eos: end };
}

export interface PromptOptions {
  /** 4: CUTE's own prompt with its solved examples. 0 (default): its last line alone, as training lines have it. */
  shots?: 0 | 4;
  /** With 4 shots: CUTE's lines begin with twelve blanks; `true` takes them off. Default false. */
  stripped?: boolean;
  prompts?: Prompts;
}

/** A question as it is put to a model: what comes next is the answer and a quote. */
export function promptOf({ task, inputs }: CuteRow, { shots = 0, stripped = false, prompts = readPrompts() }: PromptOptions = {}): string {
  return `${shots ? fill(stripped ? prompts[task].replace(/^ +/gm, '') : prompts[task], inputs) : questionOf(prompts[task], inputs)} Answer: "`;
}

export interface EvaluateSpellingOptions extends PromptOptions {
  /** Questions answered at once. Default 16. */
  batch?: number;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal | undefined;
}

export interface SpellingReport {
  tasks: Partial<Record<Task, { right: number; count: number; accuracy: number }>>;
  /** Mean over tasks. */
  accuracy: number;
  /** One question of each task. `got` ends where it was decided. */
  examples: { task: Task; prompt: string; wanted: string; got: string }[];
}

/**
 * CUTE's exact match for any model that generates text: greedily behind `Answer: "`, up to the closing quote; tasks about words compare in
 * lower case. A row is decided as soon as it differs from the answer, or has it whole.
 * @source CUTE, arXiv 2409.15452; base models have no chat template.
 */
export async function evaluateSpelling(model: ByteLM, codec: TextCodec, rows: readonly CuteRow[], options: EvaluateSpellingOptions = {}): Promise<SpellingReport> {
  const { shots, stripped, prompts = readPrompts(), batch = 16, signal } = options;
  const report: SpellingReport = { tasks: {}, accuracy: 0, examples: [] };
  // Prompts and answers of about equal length go together.
  const order = rows.map((row) => ({ row, prompt: promptOf(row, { shots, stripped, prompts }) })).sort((a, b) => a.row.label.length - b.row.label.length || a.prompt.length - b.prompt.length);
  for (let i = 0; i < order.length; i += batch) {
    signal?.throwIfAborted();
    const some = order.slice(i, i + batch);
    const answers = await answer(model, codec, some.map(({ row, prompt }) => ({ prompt, wanted: row.label, folds: row.task.endsWith('_word') })));
    some.forEach(({ row: { task, label }, prompt }, r) => {
      const tally = (report.tasks[task] ??= { right: 0, count: 0, accuracy: 0 });
      tally.right += answers[r]!.isRight ? 1 : 0;
      tally.accuracy = tally.right / ++tally.count;
      if (tally.count === 1) report.examples.push({ task, prompt, wanted: label, got: answers[r]!.got });
    });
    options.onProgress?.(Math.min(i + batch, order.length), order.length);
  }
  const tallies = Object.values(report.tasks);
  report.accuracy = tallies.reduce((sum, t) => sum + t.accuracy, 0) / Math.max(1, tallies.length);
  return report;
}

interface Question {
  prompt: string;
  wanted: string;
  /** Upper and lower case are one. */
  folds: boolean;
}

async function answer(model: ByteLM, codec: TextCodec, questions: readonly Question[]): Promise<{ got: string; isRight: boolean }[]> {
  // Byte by byte as characters: half a character of the answer is still on its way to it.
  const spelled = (bytes: Uint8Array, folds: boolean) => (folds ? String.fromCharCode(...bytes).toLowerCase() : String.fromCharCode(...bytes));
  const wanted = questions.map(({ wanted: w, folds }) => spelled(new TextEncoder().encode(`${w}"`), folds));
  const ids = questions.map((): number[] => []);
  const isRight = questions.map(() => false);
  const open = new Set(questions.keys());
  const maxBytes = Math.max(...wanted.map((w) => w.length));
  for await (const event of generate(model, questions.map((q) => codec.encode(q.prompt)), { maxBytes, temperature: 0, eos: codec.eos })) {
    if (event.type === 'end') open.delete(event.row);
    if (event.type === 'byte' && open.has(event.row)) {
      const { row } = event;
      ids[row]!.push(event.id);
      const got = spelled(codec.decode(ids[row]!), questions[row]!.folds);
      isRight[row] = got.startsWith(wanted[row]!);
      if (isRight[row] || !wanted[row]!.startsWith(got)) open.delete(row);
    }
    if (!open.size) break;
  }
  return questions.map((_, r) => ({ got: new TextDecoder().decode(codec.decode(ids[r]!)), isRight: isRight[r]! }));
}
