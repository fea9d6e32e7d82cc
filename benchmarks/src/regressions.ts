import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Machine } from './machine.js';
import type { ResultFile } from './tables.js';
import type { Row } from './side-by-side.js';

/** A row may lose this share of its normalized speed from one result to the next. */
const ALLOWED_LOSS = 0.2;

/** The newest stored result of this name on this kind of machine, or `undefined`. */
export function lastResult(folder: string, name: string, machine: Machine): ResultFile<Row> | undefined {
  if (!existsSync(folder)) return undefined;
  const files = readdirSync(folder).filter((f) => /^\d{4}-\d\d-\d\d-/.test(f) && f.slice(11) === `${name}.json`);
  for (const f of files.sort().reverse()) {
    const stored = JSON.parse(readFileSync(join(folder, f), 'utf8')) as ResultFile<Row>;
    if (stored.machine.cpu === machine.cpu && stored.machine.cores === machine.cores) return stored;
  }
  return undefined;
}

/** Rows of this side that became slower, machine speed taken out, in words. */
export function regressions(before: readonly Row[], now: readonly Row[]): string[] {
  return now.flatMap((row) => {
    const old = before.find((r) => r.config === row.config && r.work === row.work && r.side === row.side);
    if (!old || row.side.startsWith('pytorch') || row.normalized >= (1 - ALLOWED_LOSS) * old.normalized) return [];
    return [`${row.config} ${row.work} ${row.side}: ${(row.normalized / old.normalized).toFixed(2)} of its speed before`];
  });
}
