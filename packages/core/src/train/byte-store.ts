import { DataError } from '../errors.js';
import { listFiles, type ListFilesOptions } from './list-files.js';

/** A long range of byte ids that can be read anywhere; values above 255 do not occur. */
export interface ByteStore {
  /** In ids. */
  readonly size: number;
  /** Changes when the data is not the same any more: files, sizes, range. Stored with a position to be resumed. */
  readonly fingerprint: string;
  /** Writes the ids [start, start + count) to `out` at `at`. @throws DataError naming the file that cannot be read. */
  read(start: number, count: number, out: Int32Array, at: number): Promise<void>;
  close(): Promise<void>;
}

export interface ByteStoreOptions extends ListFilesOptions {
  /** Only these ids of the whole, e.g. the training part. Default: all. */
  range?: readonly [start: number, end: number] | undefined;
  /** Put between files, e.g. 254 (H-Net's BOS) or 10 (a newline). Default: nothing. */
  separator?: number | undefined;
}

/** Bytes in memory as a store. */
export function bytesInMemory(bytes: Uint8Array, options: Pick<ByteStoreOptions, 'range'> = {}): ByteStore {
  let hash = 0x811c9dc5;
  for (const b of bytes) hash = Math.imul(hash ^ b, 0x01000193);
  return slice(
    {
      size: bytes.length,
      fingerprint: `memory ${bytes.length} ${(hash >>> 0).toString(16)}`,
      read: async (start, count, out, at) => out.set(bytes.subarray(start, start + count), at),
      close: async () => {},
    },
    options.range,
  );
}

interface Part {
  path: string;
  start: number;
  size: number;
}

/** Files stay open between reads, but never more than this many. */
const MAX_OPEN = 16;

/**
 * Files and folders as one long range of bytes, in the order of their paths. Only names and sizes are in memory; content is read where
 * and when it is asked for. Any bytes will do, invalid UTF-8 too.
 *
 * @param paths Files, or folders (searched with `include` and `extensions`).
 * @throws DataError when nothing is found, all files are empty, or `range` does not fit.
 */
export async function openByteFiles(paths: string | readonly string[], options: ByteStoreOptions = {}): Promise<ByteStore> {
  const files = await listFiles(paths, options);
  const gap = options.separator === undefined ? 0 : 1;
  const parts: Part[] = [];
  let size = 0;
  for (const file of files) {
    if (file.size === 0) continue;
    if (parts.length) size += gap;
    parts.push({ path: file.path, start: size, size: file.size });
    size += file.size;
  }
  if (!parts.length) throw new DataError(`[openByteFiles] ${[paths].flat().join(', ')}: expected text, got ${files.length} empty file${files.length === 1 ? '' : 's'}. Hint: name a file with content.`);
  const reader = new PartReader();
  const store: ByteStore = {
    size,
    fingerprint: fingerprint(files, options.separator),
    async read(start, count, out, at) {
      out.fill(options.separator ?? 0, at, at + count);
      for (let p = partAt(parts, start); p < parts.length && parts[p]!.start < start + count; p++) {
        const part = parts[p]!;
        const from = Math.max(start, part.start);
        const to = Math.min(start + count, part.start + part.size);
        if (to > from) out.set(await reader.read(part, from - part.start, to - from), at + from - start);
      }
    },
    close: () => reader.close(),
  };
  return slice(store, options.range);
}

/** Index of the last part that starts at or before `position`. */
function partAt(parts: readonly Part[], position: number): number {
  let low = 0;
  for (let high = parts.length - 1; low < high; ) {
    const middle = (low + high + 1) >> 1;
    if (parts[middle]!.start <= position) low = middle;
    else high = middle - 1;
  }
  return low;
}

function slice(store: ByteStore, range?: readonly [number, number]): ByteStore {
  if (!range) return store;
  const [start, end] = range;
  if (!(start >= 0 && end > start && end <= store.size)) {
    throw new DataError(`[ByteStore] range: expected 0 ≤ start < end ≤ ${store.size}, got [${start}, ${end}]. Hint: sizes are in bytes.`);
  }
  return {
    size: end - start,
    fingerprint: `${store.fingerprint} [${start}, ${end}]`,
    read: (from, count, out, at) => store.read(start + from, count, out, at),
    close: () => store.close(),
  };
}

function fingerprint(files: readonly { path: string; size: number }[], separator: number | undefined): string {
  let hash = 0x811c9dc5;
  // Names without their folder: the data may have moved.
  for (const c of files.map((f) => `${f.path.split(/[/\\]/).pop()} ${f.size}\n`).join('')) hash = Math.imul(hash ^ c.codePointAt(0)!, 0x01000193);
  return `${files.length} files ${(hash >>> 0).toString(16)}${separator === undefined ? '' : ` separator ${separator}`}`;
}

type Handle = Awaited<ReturnType<typeof import('node:fs/promises')['open']>>;

/** Reads ranges of files through a small pool of open handles. */
class PartReader {
  private readonly open = new Map<string, Handle>();

  async read(part: Part, start: number, count: number): Promise<Uint8Array> {
    const out = new Uint8Array(count);
    try {
      const handle = await this.handle(part.path);
      for (let done = 0; done < count; ) {
        const { bytesRead } = await handle.read(out, done, count - done, start + done);
        if (bytesRead === 0) {
          throw new DataError(`[read] ${part.path}: expected ${part.size} bytes as when training began, it now ends at ${start + done}. Hint: do not change files that are being trained on; start again to use the new content.`);
        }
        done += bytesRead;
      }
    } catch (e) {
      if (e instanceof DataError) throw e;
      throw new DataError(`[read] ${part.path}: it cannot be read any more (${(e as Error).message}). Hint: put the file back and resume from the last checkpoint.`, { cause: e });
    }
    return out;
  }

  private async handle(path: string): Promise<Handle> {
    const known = this.open.get(path);
    if (known) return known;
    const { open } = await import('node:fs/promises');
    const handle = await open(path, 'r');
    if (this.open.size >= MAX_OPEN) {
      const [oldest, old] = this.open.entries().next().value!;
      this.open.delete(oldest);
      await old.close();
    }
    this.open.set(path, handle);
    return handle;
  }

  async close(): Promise<void> {
    const handles = [...this.open.values()];
    this.open.clear();
    await Promise.all(handles.map((h) => h.close()));
  }
}
