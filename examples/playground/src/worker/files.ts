import { DataError } from '@bytelm/core';
import { once } from './once.js';

/** The page's folder: the worker's own script lies in `assets/`. */
const page = new URL('../', self.location.href);

/** Addresses of all files that came with the page. */
export const shipped = once(() => fetchJson<string[]>('shipped.json'));

/** Address of a file of the page. */
export const addressOf = (path: string): string => new URL(path, page).href;

/** @throws DataError when it cannot be had. */
export async function fetchBytes(path: string): Promise<Uint8Array> {
  const response = await fetch(addressOf(path)).catch((e: unknown) => {
    throw new DataError(`[playground] ${path}: it cannot be fetched (${(e as Error).message}). Hint: load the page once while online.`);
  });
  if (!response.ok) throw new DataError(`[playground] ${path}: the server answers ${response.status}. Hint: serve the whole built folder.`);
  return new Uint8Array(await response.arrayBuffer());
}

export const fetchJson = async <T>(path: string): Promise<T> => JSON.parse(new TextDecoder().decode(await fetchBytes(path))) as T;
