import { spawnSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem, type as osType } from 'node:os';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

export interface Machine {
  cpu: string;
  cores: number;
  memoryGB: number;
  os: string;
  node: string;
  tfjs: string;
  /** Short hash, with `+` when files differ from it. */
  commit: string;
}

export function machine(): Machine {
  const list = cpus();
  const require = createRequire(import.meta.url);
  const { version } = JSON.parse(readFileSync(require.resolve('@tensorflow/tfjs-core/package.json'), 'utf8')) as { version: string };
  return {
    cpu: list[0]?.model ?? 'unknown',
    cores: list.length,
    memoryGB: Math.round(totalmem() / 2 ** 30),
    os: `${osType()} ${release()}`,
    node: process.version,
    tfjs: version,
    commit: commit(),
  };
}

export const load = (): number => loadavg()[0]!;

function commit(): string {
  const git = (...args: string[]) => spawnSync('git', args, { encoding: 'utf8', cwd: new URL('.', import.meta.url) });
  const hash = git('rev-parse', '--short', 'HEAD');
  if (hash.status !== 0) return 'unknown';
  const changed = git('status', '--porcelain', '--untracked-files=no').stdout.trim();
  return hash.stdout.trim() + (changed ? '+' : '');
}
