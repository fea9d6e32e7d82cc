import { CheckpointError } from '../errors.js';
import { writeError } from './write-atomic.js';

/** One file of a repository, as the hub lists it. */
export interface HubFile {
  path: string;
  size: number;
  /** SHA-256 of large files; small ones have none. */
  sha256?: string | undefined;
}

export interface DownloadOptions {
  /** Reads the file from a byte on. */
  stream: (from: number) => Promise<AsyncIterable<Uint8Array>>;
  onProgress?: ((loaded: number, total: number) => void) | undefined;
  /** Interrupted transfers are taken up again this often. Default 3. */
  retries?: number;
}

/**
 * Downloads a file to `target`, or does nothing when it is there with its size. What an earlier attempt has left (`<target>.incomplete`)
 * is continued; the file takes its name only when its size and, where the hub gives one, its SHA-256 are right.
 *
 * @throws CheckpointError when the transfer keeps failing, the disk is full or the content is damaged.
 */
export async function downloadFile(file: HubFile, target: string, options: DownloadOptions): Promise<void> {
  const { mkdir, open, rename, rm, stat } = await import('node:fs/promises');
  const { dirname } = await import('node:path');
  const sizeAt = (path: string) => stat(path).then((s) => s.size, () => -1);
  if ((await sizeAt(target)) === file.size) return options.onProgress?.(file.size, file.size);
  await mkdir(dirname(target), { recursive: true });
  const part = `${target}.incomplete`;
  if ((await sizeAt(part)) > file.size) await rm(part);
  for (let attempt = 0; ; attempt++) {
    const handle = await open(part, 'a').catch((e: unknown) => {
      throw writeError(part, e);
    });
    let loaded = (await handle.stat()).size;
    try {
      if (loaded < file.size) {
        for await (const chunk of await options.stream(loaded)) {
          // The whole chunk or an error: `appendFile` writes until done.
          await handle.appendFile(chunk).catch((e: unknown) => {
            throw writeError(part, e);
          });
          loaded += chunk.length;
          options.onProgress?.(loaded, file.size);
        }
      }
      await handle.sync();
    } catch (e) {
      if (e instanceof CheckpointError || attempt >= (options.retries ?? 3)) {
        if (e instanceof CheckpointError) throw e;
        throw new CheckpointError(`[download] ${file.path}: the transfer broke off at byte ${loaded} of ${file.size} (${(e as Error).message}). Hint: try again; it continues where it stopped.`, { cause: e });
      }
      continue;
    } finally {
      await handle.close();
    }
    if (loaded >= file.size) break;
    if (attempt >= (options.retries ?? 3)) throw new CheckpointError(`[download] ${file.path}: the transfer ended at byte ${loaded} of ${file.size}. Hint: try again; it continues where it stopped.`);
  }
  const size = await sizeAt(part);
  const found = file.sha256 && size === file.size ? await sha256(part) : undefined;
  if (size !== file.size || found !== file.sha256) {
    await rm(part);
    throw new CheckpointError(`[download] ${file.path}: expected ${file.size} bytes${file.sha256 ? ` with SHA-256 ${file.sha256}` : ''}, got ${size}${found ? ` with ${found}` : ''}. Hint: it was damaged on the way; try again.`);
  }
  await rename(part, target);
}

async function sha256(path: string): Promise<string> {
  const { open } = await import('node:fs/promises');
  const { createHash } = await import('node:crypto');
  const hash = createHash('sha256');
  const handle = await open(path, 'r');
  try {
    const buffer = new Uint8Array(1 << 20);
    for (let at = 0; ; ) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
      if (!bytesRead) return hash.digest('hex');
      hash.update(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
  } finally {
    await handle.close();
  }
}
