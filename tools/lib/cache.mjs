// Where set-up scripts keep what is slow to get: outside node_modules, so that a fresh install does not lose it.
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** `$BYTELM_CACHE`, else `bytelm` in `$XDG_CACHE_HOME` or `~/.cache`. */
export function cacheRoot() {
  return process.env.BYTELM_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'bytelm');
}

/**
 * Fills a folder of the cache all or nothing: two processes, or one that is killed, never leave half of it.
 * @param {string} target absolute path
 * @param {(folder: string) => void} fill gets an empty folder on the same disk
 */
export function fillFolder(target, fill) {
  mkdirSync(dirname(target), { recursive: true });
  const folder = mkdtempSync(`${target}.part-`);
  try {
    fill(folder);
    rmSync(target, { recursive: true, force: true });
    renameSync(folder, target);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
