// Child processes as the set-up scripts need them: quiet, and a failure is one readable line.
import { spawnSync } from 'node:child_process';

/** A reason why something can't be had, fit to be shown to the user as it is. */
export class Unavailable extends Error {}

/** Does a program of this name start? */
export function has(program, args = ['--version'], env = process.env) {
  return spawnSync(program, args, { stdio: 'ignore', env }).status === 0;
}

/**
 * Runs a program to its end and returns its output; throws `Unavailable` with the last line it wrote.
 * @param {string} program
 * @param {string[]} args
 * @param {import('node:child_process').SpawnSyncOptions} [options]
 */
export function run(program, args, options = {}) {
  const r = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  if (r.error) throw new Unavailable(`${program} can't be started (${r.error.message})`);
  if (r.status !== 0) {
    const lines = `${r.stdout ?? ''}\n${r.stderr ?? ''}`.trim().split('\n');
    const telling = lines.findLast((l) => /error|fail|unable|no match|denied/i.test(l)) ?? lines.at(-1);
    throw new Unavailable(`\`${program} ${args.slice(0, 3).join(' ')} …\` failed: ${telling ?? `status ${r.status}`}`);
  }
  return r.stdout ?? '';
}
