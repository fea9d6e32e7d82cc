import { isNode } from '../../backend/environment.js';
import { BackendError } from '../../errors.js';
import type { TunedChoices, TuningStore } from './choices.js';

type All = Record<string, TunedChoices>;

/** What is not a table of choices counts as none: a cache may be lost. */
function parse(text: string | null): All {
  try {
    const all: unknown = JSON.parse(text ?? '{}');
    return typeof all === 'object' && all !== null ? (all as All) : {};
  } catch {
    return {};
  }
}

/**
 * Choices in a JSON file, for Node.
 * @param path Default: `bytelm/webgpu-tuning.json` in the user's cache folder (`XDG_CACHE_HOME`, or `~/.cache`).
 * @throws BackendError in a browser.
 */
export function fileTuningStore(path?: string): TuningStore {
  if (!isNode()) throw new BackendError('[fileTuningStore] there are no files in a browser. Hint: browserTuningStore().');
  const { join, dirname } = process.getBuiltinModule('node:path');
  const fs = process.getBuiltinModule('node:fs/promises');
  const file = path ?? join(process.env.XDG_CACHE_HOME || join(process.getBuiltinModule('node:os').homedir(), '.cache'), 'bytelm', 'webgpu-tuning.json');
  return {
    load: async () => parse(await fs.readFile(file, 'utf8').catch(() => null)),
    save: async (all) => {
      await fs.mkdir(dirname(file), { recursive: true });
      // Another process sees the old table or the new one, never half of it.
      const part = `${file}.${process.pid}`;
      await fs.writeFile(part, JSON.stringify(all, null, 1));
      await fs.rename(part, file);
    },
  };
}

/** Choices in the browser's `localStorage`. */
export function browserTuningStore(key = 'bytelm.webgpu-tuning'): TuningStore {
  return {
    load: async () => parse(localStorage.getItem(key)),
    save: async (all) => localStorage.setItem(key, JSON.stringify(all)),
  };
}
