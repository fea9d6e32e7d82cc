import { readFileSync } from 'node:fs';
import { ConfigError, DataError } from '@bytelm/core';
import { resolveHNetConfig, type HNetConfig } from './config.js';

/** A `config.json` in the published form. @throws ConfigError, DataError with the path in front. */
export function readConfigFile(path: string): HNetConfig {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (e) {
    throw new DataError(`[config] ${path}: it cannot be read (${(e as Error).message}). Hint: check the path.`, { cause: e });
  }
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (e) {
    throw new ConfigError(`[config] ${path}: it is not JSON (${(e as Error).message}).`);
  }
  try {
    return resolveHNetConfig(raw);
  } catch (e) {
    throw e instanceof ConfigError ? new ConfigError(`${path}: ${e.message}`) : e;
  }
}
