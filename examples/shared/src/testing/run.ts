/** Helpers for tests of a command line. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, expect, vi } from 'vitest';
import { readLines } from '../train/train-log.js';

/** Wherever the command runs, this repository's. */
const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
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

export interface CliTester {
  /** The command line in a process of its own, from the sources. */
  spawnCli(args: readonly string[], options?: SpawnOptions): Promise<Ran>;
  /** The command line in this process: quick, for what fails early. */
  callCli(...args: string[]): Promise<Ran>;
  /** `callCli` that must end well. */
  ok(...args: string[]): Promise<Ran>;
  /** `callCli` that must end with exit code 1, one clear message with these parts, no stack, and nothing on standard output. */
  fails(args: readonly string[], ...parts: (RegExp | string)[]): Promise<void>;
}

/** @param example Folder name below `examples`.  @param run Its command line. */
export function testCli(example: string, run: (args: readonly string[]) => Promise<number>): CliTester {
  const main = join(REPOSITORY, 'examples', example, 'src', 'main.ts');
  const callCli: CliTester['callCli'] = (...args) => callHere(run, args);
  return {
    spawnCli: (args, options = {}) => spawnMain(main, args, options),
    callCli,
    async ok(...args) {
      const ran = await callCli(...args);
      expect(ran.code, ran.stderr).toBe(0);
      return ran;
    },
    async fails(args, ...parts) {
      const { code, stdout, stderr } = await callCli(...args);
      expect(code, stderr).toBe(1);
      for (const part of parts) expect(stderr).toMatch(part);
      expect(stderr).not.toMatch(/\n\s+at /);
      expect(stdout).toBe('');
    },
  };
}

function spawnMain(main: string, args: readonly string[], options: SpawnOptions): Promise<Ran> {
  const command = [process.execPath, '--import', TSX, main, ...args];
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

async function callHere(run: (args: readonly string[]) => Promise<number>, args: readonly string[]): Promise<Ran> {
  const out = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      out[name] += String(text);
      return true;
    }),
  );
  try {
    return { code: await run(args), ...out };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** A folder that is gone after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'bytelm-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A temporary folder of training runs, and what tests read of them; paths are relative to it. */
export interface RunsFolder {
  readonly folder: string;
  at(...parts: string[]): string;
  /** A whole file as base64, to be compared. */
  bytesOf(...parts: string[]): string;
  /** Logged lines of a run, in order. */
  steps(run: string): Record<string, unknown>[];
  evaluations(run: string): Record<string, unknown>[];
  /** Names of a run's checkpoints. */
  checkpoints(run: string): string[];
}

export function runsFolder(): RunsFolder {
  const folder = temporaryFolder();
  const at = (...parts: string[]) => join(folder, ...parts);
  const logged = (run: string, type: string) => readLines(at(run, 'log.jsonl')).filter((l) => l.type === type);
  return {
    folder,
    at,
    bytesOf: (...parts) => readFileSync(at(...parts)).toString('base64'),
    steps: (run) => logged(run, 'step'),
    evaluations: (run) => logged(run, 'evaluation'),
    checkpoints: (run) => readdirSync(at(run)).filter((n) => n.startsWith('checkpoint-')),
  };
}

export function writeJson(folder: string, name: string, value: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(value));
  return path;
}

/** A text with some order in it: 6 kB. */
export const TEXT = Array.from({ length: 120 }, (_, i) => `The ${['old', 'young', 'silent'][i % 3]} ${['captain', 'sailor'][i % 2]} saw ${i} ships, and said nothing.\n`).join('');
