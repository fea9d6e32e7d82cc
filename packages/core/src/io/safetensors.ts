import { CheckpointError } from '../errors.js';
import { isUrl, openBytes, type BytesLike, type ByteSource, type OpenBytesOptions } from './byte-source.js';
import { parseSafetensorsHeader, safetensorsHeaderLength, type SafetensorsEntry } from './safetensors-header.js';
import { decodeValues, noSuchTensor, type TensorSource } from './tensor-source.js';

/**
 * Opens a safetensors checkpoint lazily: one file, an index of shards (`*.index.json`), or a folder that holds either. A file can also be
 * a URL, a Blob or bytes in memory; an index can be a URL.
 *
 * @throws CheckpointError naming file and tensor when something is missing, truncated, damaged or not supported.
 * @source the safetensors format as published with the library; shard indices as transformers writes them.
 * @example
 * const source = await openSafetensors('model.safetensors');
 * const { shape, values } = await source.read('embeddings.weight');
 * await source.close();
 */
export async function openSafetensors(source: BytesLike, options: OpenBytesOptions = {}): Promise<TensorSource> {
  if (typeof source === 'string' && !isUrl(source)) source = await findInFolder(source);
  const path = isUrl(source) ? new URL(String(source)).pathname : typeof source === 'string' ? source : ((source as { name?: string }).name ?? '');
  return path.endsWith('.json') ? openIndex(source as string | URL, options) : openFile(await openBytes(source, options));
}

/** One file; takes over `bytes` and closes it with the result, or at once when the file is refused. */
async function openFile(bytes: ByteSource): Promise<TensorSource> {
  try {
    const length = safetensorsHeaderLength(await bytes.read(0, Math.min(8, bytes.size)), bytes.size, bytes.name);
    const { entries, metadata } = parseSafetensorsHeader(await bytes.read(0, 8 + length), bytes.size, bytes.name);
    return new SafetensorsFile(bytes, entries, metadata);
  } catch (e) {
    await bytes.close();
    throw e;
  }
}

class SafetensorsFile implements TensorSource {
  readonly name: string;
  readonly names: readonly string[];

  constructor(
    private readonly bytes: ByteSource,
    private readonly entries: Map<string, SafetensorsEntry>,
    readonly metadata: Record<string, string>,
  ) {
    this.name = bytes.name;
    this.names = [...entries.keys()];
  }

  has(name: string) {
    return this.entries.has(name);
  }

  info(name: string): SafetensorsEntry {
    const entry = this.entries.get(name);
    if (!entry) throw noSuchTensor(this.name, name, this.names);
    return entry;
  }

  async read(name: string, options: Parameters<TensorSource['read']>[1] = {}) {
    const { dtype, shape, start, end } = this.info(name);
    const where = `${this.name}: tensor ${name}`;
    let raw: Uint8Array;
    try {
      raw = await this.bytes.read(start, end);
    } catch (cause) {
      throw new CheckpointError(`[safetensors] ${where}: its bytes ${start} to ${end} cannot be read: ${(cause as Error).message}`, { cause });
    }
    return decodeValues(raw, dtype, shape, where, options);
  }

  close() {
    return this.bytes.close();
  }
}

/** The shards of an index, as one source. */
async function openIndex(index: string | URL, options: OpenBytesOptions): Promise<TensorSource> {
  const bytes = await openBytes(index, options);
  const text = new TextDecoder().decode(await bytes.read(0, bytes.size).finally(() => bytes.close()));
  const bad = (what: string): never => {
    throw new CheckpointError(`[safetensors] ${bytes.name}: ${what} Hint: download the index and its shards again.`);
  };
  let map: Record<string, string>;
  try {
    map = (JSON.parse(text) as { weight_map: Record<string, string> }).weight_map;
  } catch {
    return bad('the index is not JSON.');
  }
  if (typeof map !== 'object' || map === null) bad('the index has no `weight_map`.');
  for (const file of new Set(Object.values(map))) {
    // A shard lies beside its index; anything else would let an index read files of its choice.
    if (typeof file !== 'string' || !/^[^/\\:]+\.safetensors$/.test(file)) bad(`shard name ${JSON.stringify(file)} is not a plain *.safetensors file name.`);
  }
  const beside = await resolver(index);
  const shards = new Map<string, TensorSource>();
  const close = async () => void (await Promise.all([...shards.values()].map((s) => s.close())));
  try {
    for (const file of new Set(Object.values(map))) shards.set(file, await openFile(await openBytes(beside(file), options)));
    for (const [name, file] of Object.entries(map)) {
      if (!shards.get(file)!.has(name)) bad(`tensor ${name} should be in shard ${file}, which does not have it.`);
    }
  } catch (e) {
    await close();
    throw e;
  }
  const names = Object.keys(map);
  const at = (name: string): TensorSource => {
    if (!Object.hasOwn(map, name)) throw noSuchTensor(bytes.name, name, names);
    return shards.get(map[name]!)!;
  };
  return {
    name: bytes.name,
    names,
    metadata: Object.assign({}, ...[...shards.values()].map((s) => s.metadata)) as Record<string, string>,
    has: (name) => Object.hasOwn(map, name),
    info: (name) => at(name).info(name),
    read: (name, readOptions) => at(name).read(name, readOptions),
    close,
  };
}

async function resolver(index: string | URL): Promise<(file: string) => string> {
  if (isUrl(index)) return (file) => new URL(file, String(index)).href;
  const { dirname, join } = await import('node:path');
  const folder = dirname(index instanceof URL ? (await import('node:url')).fileURLToPath(index) : index);
  return (file) => join(folder, file);
}

/** A folder's index or only weight file; any other path as it is. */
async function findInFolder(path: string): Promise<string> {
  const { readdir, stat } = await import('node:fs/promises');
  const isFolder = await stat(path).then((s) => s.isDirectory(), () => false);
  if (!isFolder) return path;
  const { join } = await import('node:path');
  const files = (await readdir(path)).sort();
  const index = files.filter((f) => f.endsWith('.safetensors.index.json'));
  const weights = files.filter((f) => f.endsWith('.safetensors'));
  const found = index.length === 1 ? index[0] : weights.includes('model.safetensors') ? 'model.safetensors' : weights.length === 1 ? weights[0] : undefined;
  if (!found) {
    const what = weights.length ? `${weights.length} weight files (${weights.slice(0, 4).join(', ')}) and no index` : 'no *.safetensors file';
    throw new CheckpointError(`[safetensors] ${path}: expected an index, model.safetensors or a single *.safetensors file, got ${what}. Hint: name the file.`);
  }
  return join(path, found);
}
