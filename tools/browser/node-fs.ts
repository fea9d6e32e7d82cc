/**
 * In a page this stands in for `node:fs`, as far as tests read with it: the server of the tests (repository-files.mjs) hands out the
 * repository's files, under paths that begin at the repository. Calls wait, as Node's do.
 */
interface Entry {
  name: string;
  isFolder: boolean;
}

interface Answer {
  isFolder: boolean;
  size: number;
  bytes: Uint8Array;
}

function ask(method: 'HEAD' | 'GET', path: string): Answer | undefined {
  const request = new XMLHttpRequest();
  request.open(method, `/@repository/${path.split('/').filter(Boolean).map(encodeURIComponent).join('/')}`, false);
  // What waits may not ask for an ArrayBuffer; this charset leaves every byte as it is, in the lower half of a character.
  request.overrideMimeType('text/plain; charset=x-user-defined');
  request.send();
  if (request.status === 404) return undefined;
  if (request.status !== 200) throw new Error(`${path}: the server of the tests answers ${request.status}`);
  const text = request.responseText;
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return { isFolder: request.getResponseHeader('x-kind') === 'folder', size: Number(request.getResponseHeader('content-length')), bytes };
}

function need(method: 'HEAD' | 'GET', path: string, call: string): Answer {
  const answer = ask(method, path);
  if (!answer) throw new Error(`ENOENT: no such file or directory, ${call} '${path}'`);
  return answer;
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

export const existsSync = (path: string): boolean => ask('HEAD', path) !== undefined;

export function statSync(path: string) {
  const { isFolder, size } = need('HEAD', path, 'stat');
  return { size, isFile: () => !isFolder, isDirectory: () => isFolder };
}

export function readFileSync(path: string, encoding?: 'utf8'): Uint8Array | string {
  const { isFolder, bytes } = need('GET', path, 'open');
  if (isFolder) throw new Error(`EISDIR: illegal operation on a directory, read '${path}'`);
  return encoding ? textOf(bytes) : bytes;
}

export function readdirSync(path: string, { withFileTypes = false } = {}) {
  const { isFolder, bytes } = need('GET', path, 'scandir');
  if (!isFolder) throw new Error(`ENOTDIR: not a directory, scandir '${path}'`);
  const entries = JSON.parse(textOf(bytes)) as Entry[];
  if (!withFileTypes) return entries.map(({ name }) => name);
  return entries.map((e) => ({ name: e.name, isFile: () => !e.isFolder, isDirectory: () => e.isFolder }));
}

const opened = new Map<number, Uint8Array>();
let next = 3;

/** For reading only. */
export function openSync(path: string): number {
  opened.set(next, readFileSync(path) as Uint8Array);
  return next++;
}

export function closeSync(fd: number): void {
  opened.delete(fd);
}

export function readSync(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
  const bytes = opened.get(fd);
  if (!bytes) throw new Error('EBADF: bad file descriptor, read');
  const part = bytes.subarray(position, position + length);
  into.set(part, offset);
  return part.length;
}
