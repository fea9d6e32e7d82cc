import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointError, ConfigError } from '@bytelm/core';
import { writeFileAtomic } from '@bytelm/core/io';
import { listCheckpoints } from '@bytelm/core/train';
import type { RunSettings } from './run-settings.js';
import { readLines } from './train-log.js';

/** Makes the folder of a new run, or makes sure that there is one to resume. @throws CheckpointError */
export async function prepareFolder(out: string, resume: boolean): Promise<void> {
  const [newest] = (await listCheckpoints(out)).reverse();
  if (resume && !newest) throw new CheckpointError(`[train] ${out}: expected a run with checkpoints to resume, got none. Hint: leave --resume out, or name the folder the run was saved to.`);
  if (!resume && newest) throw new CheckpointError(`[train] ${out}: it already holds a run (${newest.folder}). Hint: --resume continues it; another --out starts anew.`);
  try {
    mkdirSync(out, { recursive: true });
  } catch (e) {
    throw new CheckpointError(`[train] ${out}: the folder cannot be made (${(e as Error).message}). Hint: choose another --out.`, { cause: e });
  }
}

export async function writeRunFile(out: string, settings: RunSettings): Promise<void> {
  await writeFileAtomic(join(out, 'run.json'), `${JSON.stringify(settings, null, 1)}\n`);
}

/** Settings and configuration (as stored) of a run that was started in `out`. @throws CheckpointError when it is none. */
export function readRunFiles<S extends RunSettings>(out: string): { settings: S; config: unknown } {
  return { settings: readJson(out, 'run.json') as S, config: readJson(out, 'config.json') };
}

/** What `train` noted beside the weights in a folder; `undefined` where nothing is. */
export function readRunSettings<S extends RunSettings>(folder: string): Partial<S> | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')) as Partial<S>;
  } catch {
    return undefined;
  }
}

function readJson(out: string, name: string): unknown {
  const path = join(out, name);
  if (!existsSync(path)) throw new CheckpointError(`[train] ${path}: expected the file of an earlier run, there is none. Hint: --resume goes on with a run in --out.`);
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (e) {
    throw new ConfigError(`[train] ${path}: it is not JSON (${(e as Error).message}).`);
  }
}

/** `loss.svg` out of the log. The plotting library is large: it is loaded only now. */
export async function drawLoss(out: string): Promise<void> {
  const lines = readLines(join(out, 'log.jsonl'));
  if (!lines.some((l) => l.type === 'step')) return;
  const { lossCurveSvg } = await import('../page/index.js');
  await writeFileAtomic(join(out, 'loss.svg'), await lossCurveSvg(lines));
}
