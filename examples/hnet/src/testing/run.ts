/** Helpers for tests of the command line. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, vi } from 'vitest';
import type { HNetConfig } from '../config.js';
import { runCli } from '../cli/run.js';

/** Wherever the command runs, this repository's. */
const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
export const REPOSITORY = fileURLToPath(new URL('../../../..', import.meta.url));

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface SpawnOptions {
  /** Called with everything printed so far, at each piece. */
  onOutput?: (text: string, child: ChildProcess) => void;
  /** A shell command that runs before, e.g. `ulimit -f 8`. */
  before?: string;
  cwd?: string;
  input?: Uint8Array | string;
}

/** The command line in a process of its own, from the sources. */
export function spawnCli(args: readonly string[], options: SpawnOptions = {}): Promise<Ran> {
  const command = [process.execPath, '--import', TSX, MAIN, ...args];
  const [file, ...rest] = options.before ? ['bash', '-c', `${options.before}; exec "$@"`, 'bash', ...command] : command;
  // The sources' path names come from the repository's tsconfig, wherever the command runs.
  const env = { ...process.env, TSX_TSCONFIG_PATH: join(REPOSITORY, 'tsconfig.json') };
  const child = spawn(file!, rest, { cwd: options.cwd ?? REPOSITORY, env, stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] });
  if (options.input !== undefined) child.stdin!.end(options.input);
  const out = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.setEncoding('utf8').on('data', (text: string) => {
      out[name] += text;
      options.onOutput?.(out.stdout + out.stderr, child);
    });
  }
  return new Promise((done, fail) => child.on('error', fail).on('close', (code) => done({ code, ...out })));
}

/** The command line in this process: quick, for what fails early. */
export async function callCli(...args: string[]): Promise<Ran> {
  const out = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      out[name] += String(text);
      return true;
    }),
  );
  try {
    return { code: await runCli(args), ...out };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** A folder that is gone after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'hnet-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** One Mamba-2 block around one attention block: trains in milliseconds. */
export const SMALL: HNetConfig = {
  arch_layout: ['m1', ['T1'], 'm1'],
  d_model: [32, 64],
  d_intermediate: [0, 128],
  vocab_size: 256,
  ssm_cfg: { chunk_size: 16, d_conv: 4, d_state: 16, expand: 2 },
  attn_cfg: { num_heads: [2, 2], rotary_emb_dim: [16, 16], window_size: [15, -1] },
  tie_embeddings: false,
};

export function writeJson(folder: string, name: string, value: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(value));
  return path;
}

/** A text with some order in it: 6 kB. */
export const TEXT = Array.from({ length: 120 }, (_, i) => `The ${['old', 'young', 'silent'][i % 3]} ${['captain', 'sailor'][i % 2]} saw ${i} ships, and said nothing.\n`).join('');
