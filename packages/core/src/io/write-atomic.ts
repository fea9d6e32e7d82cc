import type { FileHandle } from 'node:fs/promises';
import { CheckpointError } from '../errors.js';

/** The calls of `node:fs/promises` that writing needs; tests hand in one that fails. */
export type WriteFs = Pick<typeof import('node:fs/promises'), 'open' | 'rename' | 'rm'>;

export type Chunks = Uint8Array | string | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

let counter = 0;

/**
 * Writes a file so that a reader, a crash or a full disk never sees half of it: under a temporary name beside the target, flushed to
 * the disk, then renamed over it; the folder is flushed as well.
 *
 * @param chunks The contents; an async iterable keeps memory bounded.
 * @throws CheckpointError when something fails (a full disk is named as such). The old file is then as it was and the temporary one gone.
 */
export async function writeFileAtomic(path: string, chunks: Chunks, options: { fs?: WriteFs } = {}): Promise<void> {
  const fs = options.fs ?? (await import('node:fs/promises'));
  const temporary = `${path}.tmp-${process.pid}-${counter++}`;
  try {
    const handle = await fs.open(temporary, 'w');
    try {
      const parts = typeof chunks === 'string' ? [new TextEncoder().encode(chunks)] : chunks instanceof Uint8Array ? [chunks] : chunks;
      for await (const part of parts) await writeAll(handle, part);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await fs.rename(temporary, path);
  } catch (e) {
    await fs.rm(temporary, { force: true }).catch(() => {});
    throw writeError(path, e);
  }
  await syncFolder((await import('node:path')).dirname(path), fs);
}

/** `handle.write` may write less than it was given, on a nearly full disk for one. */
async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(bytes.length - done, 1 << 30));
    done += bytesWritten;
  }
}

/** Flushes a folder's entries, so that a rename survives a power cut. Not every file system can; those that cannot are left alone. */
export async function syncFolder(folder: string, fs: Pick<WriteFs, 'open'>): Promise<void> {
  try {
    const handle = await fs.open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    // Windows and some network file systems refuse to open or flush folders.
  }
}

/** The error for a failed write, with the cause in plain words. */
export function writeError(path: string, cause: unknown): Error {
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string' && /^E[A-Z]+$/.test(cause.code)) {
    const what =
      { ENOSPC: 'the disk is full', EDQUOT: 'the disk quota is used up', EFBIG: 'the file would be larger than allowed', EACCES: 'no permission', EROFS: 'the disk is read-only', ENOENT: 'the folder does not exist' }[
        cause.code
      ] ?? 'the write failed';
    return new CheckpointError(`[write] ${path}: ${what} (${cause.code}). Nothing was changed. Hint: free space or choose another folder, then save again.`, { cause });
  }
  return cause as Error;
}
