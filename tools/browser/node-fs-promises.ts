/** In a page this stands in for `node:fs/promises`, as far as tests and what they open read with it. */
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from './node-fs.js';

export const stat = async (path: string) => statSync(path);
export const readdir = async (path: string, options?: { withFileTypes?: boolean }) => readdirSync(path, options);
export const readFile = async (path: string, encoding?: 'utf8') => readFileSync(path, encoding);

/** For reading only. */
export async function open(path: string) {
  const found = statSync(path);
  const fd = found.isFile() ? openSync(path) : -1;
  return {
    fd,
    stat: async () => found,
    read: async (into: Uint8Array, offset: number, length: number, position: number) => ({ bytesRead: readSync(fd, into, offset, length, position) }),
    close: async () => closeSync(fd),
  };
}
