import { CheckpointError } from '../errors.js';
import { isUrl, openBytes, type BytesLike, type ByteSource, type OpenBytesOptions } from './byte-source.js';
import { findInFolder } from './find-in-folder.js';
import { parseSafetensorsHeader, safetensorsHeaderLength, type SafetensorsEntry } from './safetensors-header.js';
import { rowRange } from './row-slices.js';
import { openShards } from './shards.js';
import { decodeValues, noSuchTensor, type HostTensor, type RawTensor, type ReadOptions, type TensorSource } from './tensor-source.js';

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
  if (typeof source === 'string' && !isUrl(source)) source = await findInFolder(source, ['.safetensors']);
  const open = async (one: BytesLike): Promise<TensorSource> => openSafetensorsBytes(await openBytes(one, options));
  const path = isUrl(source) ? new URL(String(source)).pathname : String((source as { name?: string }).name ?? source);
  return path.endsWith('.json') ? openShards(source as string | URL, open, options) : open(source);
}

/** One file; takes over `bytes` and closes it with the result, or at once when the file is refused. */
export async function openSafetensorsBytes(bytes: ByteSource): Promise<TensorSource> {
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

  read(name: string): Promise<HostTensor>;
  read(name: string, options: ReadOptions): Promise<HostTensor | RawTensor>;
  async read(name: string, options: ReadOptions = {}): Promise<HostTensor | RawTensor> {
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

  async readRows(name: string, first: number, count: number): Promise<Uint8Array> {
    return this.bytes.read(...this.rowsAt(name, first, count));
  }

  get readRowsSync(): ((name: string, first: number, count: number) => Uint8Array) | undefined {
    const { readSync } = this.bytes;
    return readSync && ((name, first, count) => readSync.call(this.bytes, ...this.rowsAt(name, first, count)));
  }

  private rowsAt(name: string, first: number, count: number): [start: number, end: number] {
    const entry = this.info(name);
    const [start, end] = rowRange(`${this.name}: tensor ${name}`, entry, first, count);
    return [entry.start + start, entry.start + end];
  }

  close() {
    return this.bytes.close();
  }
}
