import { readFile, stat } from 'node:fs/promises';
import { ConfigError, DataError } from '@bytelm/core';
import { listFiles, type ByteStore } from '@bytelm/core/train';

/** Texts that can be read in any order. */
export interface DocumentSource {
  readonly count: number;
  /** Changes when the data is not the same any more. Stored with a position to be resumed. */
  readonly fingerprint: string;
  /** The bytes of one document, never none. @throws DataError naming the file that cannot be read. */
  read(index: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** How far behind its nominal end a piece looks for a paragraph's end, as a share of its size. */
const SEARCH_SHARE = 4;

/**
 * A long text, cut into documents of about `size` bytes: a book trained on as one document would have one BOS. A piece ends at the first
 * paragraph end in the quarter behind its nominal end, or else behind the first line, word or character there. Where the pieces lie
 * follows from the text around their ends alone: nothing is kept in memory.
 */
export class TextPieces implements DocumentSource {
  readonly count: number;
  readonly fingerprint: string;

  /** @throws ConfigError for a size that is no whole number from 16. */
  constructor(
    private readonly store: ByteStore,
    private readonly size: number,
  ) {
    if (!(Number.isInteger(size) && size >= 16)) throw new ConfigError(`[TextPieces] size: expected a whole number of bytes from 16, got ${size}.`);
    // A rest that is no piece of its own belongs to the last one.
    this.count = Math.max(1, Math.floor(store.size / size));
    this.fingerprint = `${store.fingerprint}; pieces of ${size}`;
  }

  async read(index: number): Promise<Uint8Array> {
    const [start, end] = [await this.cutAt(index), await this.cutAt(index + 1)];
    const ids = new Int32Array(end - start);
    await this.store.read(start, ids.length, ids, 0);
    return Uint8Array.from(ids);
  }

  /** Where piece `index` begins. */
  private async cutAt(index: number): Promise<number> {
    if (index === 0) return 0;
    if (index >= this.count) return this.store.size;
    const from = index * this.size;
    const window = new Int32Array(Math.min(Math.ceil(this.size / SEARCH_SHARE), this.store.size - from));
    await this.store.read(from, window.length, window, 0);
    return from + offsetOfCut(window);
  }

  close(): Promise<void> {
    return this.store.close();
  }
}

/** Behind the first empty line; else the first line; else the first blank; else the first whole character. */
function offsetOfCut(bytes: Int32Array): number {
  for (let i = 0; i + 1 < bytes.length; i++) {
    if (bytes[i] !== 0x0a) continue;
    let next = i + 1;
    if (bytes[next] === 0x0d) next++;
    if (bytes[next] === 0x0a) return next + 1;
  }
  for (const mark of [0x0a, 0x20]) {
    const at = bytes.indexOf(mark);
    if (at >= 0) return at + 1;
  }
  const character = bytes.findIndex((b) => (b & 0xc0) !== 0x80);
  return Math.max(0, character);
}

/** Each file one document; empty files are left out. Only names and sizes are in memory. @throws DataError when there is none. */
export async function fileDocuments(paths: readonly string[]): Promise<DocumentSource> {
  const files = (await listFiles([...paths])).filter((f) => f.size > 0);
  if (!files.length) throw new DataError(`[documents] ${paths.join(', ')}: expected files with content, got none.`);
  const total = files.reduce((n, f) => n + f.size, 0);
  return {
    count: files.length,
    fingerprint: `${files.length} documents of ${total} bytes, ${files[0]!.path.split(/[/\\]/).pop()} …`,
    async read(index) {
      const { path, size } = files[index]!;
      try {
        if ((await stat(path)).size !== size) throw new DataError(`[documents] ${path}: expected ${size} bytes as when training began. Hint: do not change files that are being trained on.`);
        return new Uint8Array(await readFile(path));
      } catch (e) {
        if (e instanceof DataError) throw e;
        throw new DataError(`[documents] ${path}: it cannot be read any more (${(e as Error).message}). Hint: put the file back and resume from the last checkpoint.`, { cause: e });
      }
    },
    close: async () => {},
  };
}
