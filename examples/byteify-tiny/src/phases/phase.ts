import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '@bytelm/core';
import { writeFileAtomic } from '@bytelm/core/io';
import { duration } from '@bytelm/example-shared/cli';
import type { Recipe } from '../recipe.js';

/** What phases work with. */
export interface Context {
  recipe: Recipe;
  /** Folder of a phase. */
  folderOf(name: string): string;
  /** What an earlier phase found. */
  resultOf<R>(name: string): R;
}

/** One step of the whole, in a folder of its own. */
export interface Phase {
  name: string;
  title: string;
  /** Phases that must be done before. */
  needs: readonly string[];
  /**
   * Does it, or goes on with what an earlier attempt left in its folder.
   * @returns what the report needs; `undefined` when it was stopped before its end.
   */
  run(folder: string, context: Context): Promise<object | undefined>;
}

/** What is kept of a phase. */
export interface PhaseRecord {
  done: boolean;
  /** Of all attempts. */
  seconds: number;
  result?: object;
}

const fileOf = (out: string, name: string): string => join(out, name, 'phase.json');

export function readRecord(out: string, name: string): PhaseRecord | undefined {
  const file = fileOf(out, name);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as PhaseRecord) : undefined;
}

/**
 * Does the phases that are not done yet, one after another.
 * @returns whether all of them are done now.
 */
export async function runPhases(phases: readonly Phase[], out: string, recipe: Recipe, afterEach: () => Promise<void>): Promise<boolean> {
  const context: Context = {
    recipe,
    folderOf: (name) => join(out, name),
    resultOf: <R>(name: string) => readRecord(out, name)!.result as R,
  };
  for (const [i, { name, title, needs, run }] of phases.entries()) {
    const before = readRecord(out, name);
    const head = `[${i + 1} of ${phases.length}] ${title}`;
    if (before?.done) {
      process.stderr.write(`${head}: done before, in ${duration(before.seconds)}\n`);
      continue;
    }
    const missing = needs.filter((n) => !readRecord(out, n)?.done);
    if (missing.length) throw new ConfigError(`[byteify-tiny] ${name}: expected ${missing.join(', ')} to be done before. Hint: leave --only out.`);
    process.stderr.write(`${head}${before ? ', going on' : ''}\n`);
    const folder = join(out, name);
    mkdirSync(folder, { recursive: true });
    const earlier = before?.seconds ?? 0;
    const begin = performance.now();
    const keep = async (result?: object) => {
      const record: PhaseRecord = { done: result !== undefined, seconds: earlier + (performance.now() - begin) / 1000, ...(result && { result }) };
      await writeFileAtomic(fileOf(out, name), `${JSON.stringify(record, null, 1)}\n`);
      return record;
    };
    let result: object | undefined;
    try {
      // A process that is killed has made an attempt, too.
      await keep();
      result = await run(folder, context);
    } finally {
      const { seconds } = await keep(result);
      if (result) process.stderr.write(`${head}: done in ${duration(seconds)}\n`);
    }
    if (!result) return false;
    await afterEach();
  }
  return true;
}
