import { CheckpointError } from '../errors.js';

const FORMATS = ['.safetensors', '.pt', '.pth', '.bin'];

/**
 * A folder's index of shards or only weight file, safetensors first; any other path as it is.
 * @throws CheckpointError when there is none, or more than one and no way to choose.
 */
export async function findInFolder(path: string, formats: readonly string[] = FORMATS): Promise<string> {
  const { readdir, stat } = await import('node:fs/promises');
  const isFolder = await stat(path).then((s) => s.isDirectory(), () => false);
  if (!isFolder) return path;
  const { join } = await import('node:path');
  const files = (await readdir(path)).sort();
  for (const format of formats) {
    const index = files.filter((f) => f.endsWith(`${format}.index.json`));
    const weights = files.filter((f) => f.endsWith(format));
    const usual = weights.filter((f) => /^(model|pytorch_model)\.[a-z]+$/.test(f));
    const found = index.length === 1 ? index : usual.length === 1 ? usual : weights;
    if (found.length === 1) return join(path, found[0]!);
    if (found.length) throw new CheckpointError(`[checkpoint] ${path}: expected an index, model${format} or a single *${format} file, got ${weights.length} (${weights.slice(0, 4).join(', ')}). Hint: name the file.`);
  }
  throw new CheckpointError(`[checkpoint] ${path}: expected a file ending in ${formats.join(', ')}, got none. Hint: name the folder that holds the weights.`);
}
