import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DataError } from '@bytelm/core';
import { readJsonFile } from '../model/read-config.js';
import { TASKS, wordsIn, type Task } from './answers.js';

/** One question. */
export interface CuteRow {
  task: Task;
  /** Its number in the original file. */
  row: number;
  /** What fills the prompt's `{}`, in order. */
  inputs: string[];
  label: string;
}

export type Prompts = Readonly<Record<Task, string>>;

/** The sample of CUTE that comes with the examples, under its MIT licence. */
export const CUTE_SAMPLE = fileURLToPath(new URL('../../../data/cute', import.meta.url));

/**
 * CUTE's prompts and rows.
 * @param folder with `prompts.json` and rows in `*.jsonl`. Default: the sample.
 * @throws DataError naming file and line.
 */
export function readCute(folder = CUTE_SAMPLE): { prompts: Prompts; rows: CuteRow[] } {
  const files = existsSync(folder) ? readdirSync(folder).filter((f) => f.endsWith('.jsonl')).sort() : [];
  if (!files.length) throw new DataError(`[readCute] ${folder}: expected prompts.json and rows in .jsonl files, found no rows. Hint: leave the folder out to take the sample in examples/data/cute.`);
  return { prompts: readPrompts(folder), rows: files.flatMap((f) => readRows(join(folder, f))) };
}

export function readPrompts(folder = CUTE_SAMPLE): Prompts {
  const path = join(folder, 'prompts.json');
  const prompts = readJsonFile(path) as Record<string, unknown>;
  const missing = TASKS.filter((t) => typeof prompts[t] !== 'string');
  if (missing.length) throw new DataError(`[readCute] ${path}: expected a prompt for every task, there is none for ${missing.join(', ')}.`);
  return prompts as Prompts;
}

function readRows(path: string): CuteRow[] {
  return readFileSync(path, 'utf8').split('\n').flatMap((line, i) => {
    if (!line) return [];
    const row = parse(line) as Partial<CuteRow> | undefined;
    if (!row || !TASKS.includes(row.task!) || !Array.isArray(row.inputs) || typeof row.label !== 'string') throw new DataError(`[readCute] ${path}, line ${i + 1}: expected task, inputs and label, got ${line.slice(0, 80)}.`);
    return [row as CuteRow];
  });
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Every word that questions and answers contain, in lower case: what a model is not to have practised on. */
export function cuteWords(rows: readonly CuteRow[]): Set<string> {
  const texts = rows.flatMap(({ task, inputs, label }) => [...inputs, label].map((t) => (task === 'spell' || task === 'spell_inverse' ? t.replaceAll(' ', '') : t)));
  return new Set(texts.flatMap((t) => wordsIn(t.toLowerCase())));
}
