import { dirname, join } from 'node:path';
import { ConfigError } from '@bytelm/core';
import { listCheckpoints } from '@bytelm/core/train';
import { addTrainOlmoCommand } from '@bytelm/example-olmo';
import { runProgram } from '@bytelm/example-shared/cli';
import { readLines } from '@bytelm/example-shared/train';
import type { Recipe, Training } from '../recipe.js';

/** Has the run in this folder come to its end? */
const isDone = (folder: string): boolean => readLines(join(folder, 'log.jsonl')).some((l) => l.type === 'end' && l.stopped === false);

/**
 * `olmo train` with these arguments, or the rest of it.
 * @returns whether it is done; not when it was stopped.
 * @throws ConfigError when it failed; the command has said why.
 */
export async function trainSource(folder: string, args: readonly string[]): Promise<boolean> {
  if (isDone(folder)) return true;
  const resume = (await listCheckpoints(folder)).length > 0;
  const code = await runProgram('olmo', '', [addTrainOlmoCommand], ['train', ...(resume ? ['--resume'] : args), '--out', folder, '--token-cache', join(dirname(folder), 'tokens')]);
  if (code) throw new ConfigError('[byteify-tiny] training ended with the error above. Hint: --resume goes on once its cause is gone.');
  return isDone(folder);
}

/** Options of `olmo train` for a training of a recipe. */
export function trainingOptions({ seed, backend }: Pick<Recipe, 'seed' | 'backend'>, { steps, batch, length, lr }: Training): string[] {
  const evalEvery = Math.max(1, Math.ceil(steps / 10));
  return [
    ...['--steps', String(steps), '--batch', String(batch), '--length', String(length), '--lr', String(lr), '--seed', String(seed), '--backend', backend],
    ...['--eval-every', String(evalEvery), '--save-every', String(evalEvery), '--keep', '1'],
  ];
}
