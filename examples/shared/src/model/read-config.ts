import { readFileSync } from 'node:fs';
import { ConfigError, DataError } from '@bytelm/core';

/** A JSON file. @throws ConfigError, DataError with the path in front. */
export function readJsonFile(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (e) {
    throw new DataError(`[config] ${path}: it cannot be read (${(e as Error).message}). Hint: check the path.`, { cause: e });
  }
  try {
    return JSON.parse(text);
  } catch (e) {
    throw new ConfigError(`[config] ${path}: it is not JSON (${(e as Error).message}).`);
  }
}

/** A `config.json`, checked by `resolve`. @throws ConfigError, DataError with the path in front. */
export function readConfigFile<C>(path: string, resolve: (raw: unknown) => C): C {
  const raw = readJsonFile(path);
  try {
    return resolve(raw);
  } catch (e) {
    throw e instanceof ConfigError ? new ConfigError(`${path}: ${e.message}`) : e;
  }
}
