import { initBackend, type BackendInfo } from '@bytelm/core';
import type { BackendChoice } from './shared-options.js';

/** Starts the backend and says which one it is, and why, on standard error. */
export async function startBackend(name: BackendChoice): Promise<BackendInfo> {
  const info = await initBackend(name);
  const why = name === 'auto' ? ` (${info.reason})` : '';
  process.stderr.write(`backend: ${info.name} on ${info.device}${why}\n`);
  return info;
}
