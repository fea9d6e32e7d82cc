import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Rng, type SequenceLM } from '@bytelm/core';
import { writeFileAtomic } from '@bytelm/core/io';
import { BOLMO_VOCABULARY } from '@bytelm/distill';
import { findBolmo, loadBolmo } from '@bytelm/example-bolmo';
import { decodeText, loadSourceLM, loadTokenizer, openSource, startToken } from '@bytelm/example-olmo';
import { startBackend } from '@bytelm/example-shared/cli';
import { answerBits, byteCodec, cuteWords, evaluateSpelling, readCute, spellingLines, tokenCodec, withLines, wordsOf, type CuteRow, type SpellingReport, type TextCodec } from '@bytelm/example-shared/spelling';
import { readBytes } from '@bytelm/example-shared/train';
import { SAMPLE, type Recipe } from '../recipe.js';

export interface SpellingScore extends SpellingReport {
  /** Of the right answers, by task. Runs of before have none. */
  bitsPerByte?: Awaited<ReturnType<typeof answerBits>>;
}

export interface SpellingScores {
  before: SpellingScore;
  after: SpellingScore;
}

/** Text with lines about the spelling of words, none of which is in the items that are asked later. @returns the file. */
export async function makeSpellingText(folder: string, { data, seed, spelling }: Recipe): Promise<string> {
  const file = join(folder, 'text.txt');
  if (existsSync(file)) return file;
  const { prompts, rows } = readCute(SAMPLE.cute);
  const [start, end] = data.range;
  const all = decodeText(await readBytes(data.files, [start, end]), data.files.join(', '));
  const words = wordsOf(all, { without: cuteWords(rows), minLength: 3 });
  const lines = spellingLines({ words, tasks: spelling.tasks, count: spelling.lines, seed, prompts });
  await writeFileAtomic(file, withLines(all.slice(0, spelling.textBytes), lines));
  return file;
}

/** Items of the tasks, drawn with the seed. */
function itemsOf({ seed, spelling }: Recipe): CuteRow[] {
  const { rows } = readCute(SAMPLE.cute);
  return spelling.tasks.flatMap((task) => {
    const own = rows.filter((r) => r.task === task);
    const rng = new Rng(seed).fork(task);
    return Array.from({ length: Math.min(spelling.rows, own.length) }, () => own.splice(rng.nextInt(own.length), 1)[0]!);
  });
}

/** Exact answers, and how likely the right ones are, before and after the training on lines. */
export async function scoreSpelling(kind: 'teacher' | 'student', before: string, after: string, recipe: Recipe): Promise<SpellingScores> {
  await startBackend(recipe.backend);
  const open = kind === 'teacher' ? openTeacher : openStudent;
  const scored = async (folder: string) => {
    const { model, codec } = await open(folder);
    try {
      const items = itemsOf(recipe);
      return { ...(await evaluateSpelling(model, codec, items, { shots: 0 })), bitsPerByte: await answerBits(model, codec, items) };
    } finally {
      model.dispose();
    }
  };
  return { before: await scored(before), after: await scored(after) };
}

interface Speller {
  model: SequenceLM;
  codec: TextCodec;
}

async function openTeacher(folder: string): Promise<Speller> {
  const source = await openSource(folder);
  const tokenizer = await loadTokenizer(source);
  const codec = tokenCodec(tokenizer, startToken(source.config, tokenizer), tokenizer.vocabulary.endId ?? null);
  return { model: await loadSourceLM(source), codec };
}

async function openStudent(folder: string): Promise<Speller> {
  const { offset, bos, eos, numIds } = BOLMO_VOCABULARY;
  return { model: await loadBolmo(await findBolmo(folder)), codec: byteCodec({ offset, bos, eos, vocabSize: numIds }) };
}
