import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const RESULTS = fileURLToPath(new URL('../results', import.meta.url));

/** Writes `<day>-<name>.<extension>` for each part and returns the paths. JSON has no NaN: it becomes null. */
export function saveResult(folder: string, name: string, date: string, parts: Readonly<Record<string, string>>): string[] {
  mkdirSync(folder, { recursive: true });
  return Object.entries(parts).map(([extension, text]) => {
    const path = join(folder, `${date.slice(0, 10)}-${name}.${extension}`);
    writeFileSync(path, text);
    return path;
  });
}
