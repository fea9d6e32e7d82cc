import { DataError } from '../errors.js';

export interface ListFilesOptions {
  /** Endings that files in folders must have, e.g. `['.txt', '.md']`. Default: any. */
  extensions?: readonly string[] | undefined;
  /** Pattern for paths below a folder: `*` and `?` within a name, `**` across folders, `{a,b}` either. Default: any. */
  include?: string | undefined;
}

/**
 * Files of the given paths: files as named, folders searched to any depth, each folder in byte order of the relative paths (the same on
 * every machine). Hidden files and links to folders are left out.
 *
 * @throws DataError when a path does not exist or nothing matches.
 */
export async function listFiles(paths: string | readonly string[], options: ListFilesOptions = {}): Promise<{ path: string; size: number }[]> {
  const { stat } = await import('node:fs/promises');
  const { join } = await import('node:path');
  const found: { path: string; size: number }[] = [];
  const sizeOf = async (path: string) =>
    stat(path).catch((e: unknown) => {
      throw new DataError(`[listFiles] ${path}: cannot be read (${(e as Error).message}). Hint: check the path.`, { cause: e });
    });
  for (const path of [paths].flat() as string[]) {
    const s = await sizeOf(path);
    if (!s.isDirectory()) {
      found.push({ path, size: s.size });
      continue;
    }
    const pattern = options.include === undefined ? undefined : globToRegExp(options.include);
    const keep = (name: string) => (!pattern || pattern.test(name)) && (!options.extensions || options.extensions.some((e) => name.endsWith(e)));
    const names = (await below(path, '')).filter(keep).sort((a, b) => (a < b ? -1 : 1));
    for (const name of names) found.push({ path: join(path, name), size: (await sizeOf(join(path, name))).size });
  }
  if (!found.length) {
    const filter = [options.include, options.extensions?.join(', ')].filter(Boolean).join(' and ');
    throw new DataError(`[listFiles] ${[paths].flat().join(', ')}: no file${filter ? ` matches ${filter}` : ' in it'}. Hint: check the folder and the filter.`);
  }
  return found;
}

/** Relative paths of the files below `root/folder`, with `/` on every system. */
async function below(root: string, folder: string): Promise<string[]> {
  const { readdir } = await import('node:fs/promises');
  const { join } = await import('node:path');
  const out: string[] = [];
  for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue;
    const name = folder ? `${folder}/${entry.name}` : entry.name;
    if (entry.isDirectory()) out.push(...(await below(root, name)));
    else if (entry.isFile() || entry.isSymbolicLink()) out.push(name);
  }
  return out;
}

/** `*`, `?`, `**`, `{a,b}`; everything else is literal. A pattern without `/` matches the file name in any folder. */
export function globToRegExp(glob: string): RegExp {
  const source = glob.replace(/\*\*\/|\*\*|\*|\?|\{[^{}]*\}|[.+^$()|[\]\\{}]/g, (m) => {
    if (m === '**/') return '(?:.*/)?';
    if (m === '**') return '.*';
    if (m === '*') return '[^/]*';
    if (m === '?') return '[^/]';
    if (m.length > 1) return `(?:${m.slice(1, -1).split(',').map((part) => part.replace(/[.*+?^$()|[\]\\]/g, '\\$&')).join('|')})`;
    return `\\${m}`;
  });
  return new RegExp(`${glob.includes('/') ? '^' : '(?:^|/)'}${source}$`);
}
