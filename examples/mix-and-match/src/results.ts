import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '@bytelm/core/io';
import { count } from '@bytelm/example-shared/cli';
import { SWAPS } from './swaps/index.js';
import type { TrainedSwap } from './train/train-swap.js';

/** Under which circumstances a swap was trained. */
export interface Setup {
  data: string;
  steps: number;
  batch: number;
  length: number;
  lr: number;
  seed: number;
  evalBytes: number;
  backend: string;
  machine: string;
  date: string;
}

export interface ResultRow extends TrainedSwap {
  name: string;
  setup: Setup;
  /** Where entropies cut: the threshold in nats, and the mean length it gives on training text. */
  entropy?: { threshold: number; bytesPerPatch: number };
}

const JSON_NAME = 'swaps.json';

/** Rows with those of an earlier run of other swaps, in the order of the list. */
export function mergeRows(earlier: readonly ResultRow[], fresh: readonly ResultRow[]): ResultRow[] {
  const kept = earlier.filter((old) => !fresh.some((row) => row.name === old.name));
  const place = (row: ResultRow) => SWAPS.findIndex((s) => s.name === row.name);
  return [...kept, ...fresh].sort((a, b) => place(a) - place(b));
}

export function readRows(folder: string): ResultRow[] {
  const path = join(folder, JSON_NAME);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as ResultRow[]) : [];
}

/** `swaps.json` and `swaps.md`. */
export async function writeRows(folder: string, rows: readonly ResultRow[]): Promise<void> {
  mkdirSync(folder, { recursive: true });
  await writeFileAtomic(join(folder, JSON_NAME), `${JSON.stringify(rows, null, 1)}\n`);
  await writeFileAtomic(join(folder, 'swaps.md'), markdown(rows));
}

/** One table for each set of circumstances. */
export function markdown(rows: readonly ResultRow[]): string {
  const tables = [...new Set(rows.map(({ setup }) => describe(setup)))].map((circumstances) => {
    const own = rows.filter(({ setup }) => describe(setup) === circumstances);
    const lines = own.map((row) => `| \`${row.name}\` | ${titleOf(row)} | ${row.replaced.join(', ') || '–'} | ${cells(row).join(' | ')} |`);
    return `${circumstances}\n\n| name | what | new objects | parameters | bits per byte | bytes per chunk |\n|---|---|---|---|---|---|\n${lines.join('\n')}\n`;
  });
  const samples = rows.map((row) => `- \`${row.name}\`: ${JSON.stringify(row.sample)}`);
  return `# Swaps\n\n${tables.join('\n')}\n${samples.length ? `What they write, byte by byte (temperature 0.5):\n\n${samples.join('\n')}\n` : ''}`;
}

const cells = ({ parameters, bitsPerByte, bytesPerChunk }: TrainedSwap): string[] => [count(parameters), bitsPerByte.toFixed(3), bytesPerChunk.map((n) => n.toFixed(2)).join(', ')];

/** A line for the terminal. */
export const line = (row: ResultRow): string => {
  const [parameters, bits, chunks] = cells(row);
  return `${row.name.padEnd(26)} ${bits} bits per byte · ${chunks} bytes per chunk · ${parameters} parameters · ${row.replaced.length ? `new: ${row.replaced.join(', ')}` : 'as it is'}`;
};

const titleOf = (row: ResultRow): string => SWAPS.find((s) => s.name === row.name)?.title ?? '';

const describe = ({ data, steps, batch, length, lr, seed, evalBytes, backend, machine, date }: Setup): string =>
  `${steps} updates of ${batch} x ${length} bytes of ${data}, learning rate ${lr}, seed ${seed}; bits per byte and bytes per chunk of ${count(evalBytes)} held-out bytes in windows of ${length}. ${backend}; ${machine}; ${date}.`;
