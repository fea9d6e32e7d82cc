import { CheckpointError } from '../errors.js';

/** Bytes that can be read by range: a file, a Blob, memory, or a URL whose server understands ranges. */
export interface ByteSource {
  /** For messages. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** The bytes [start, end) in memory of their own. @throws CheckpointError when the source ends earlier. */
  read(start: number, end: number): Promise<Uint8Array>;
  /** The same at once, where the source can: files in Node and bytes in memory. */
  readSync?(start: number, end: number): Uint8Array;
  close(): Promise<void>;
}

/** A path (Node), an http(s) or blob URL, a Blob or File, bytes in memory, or an own `ByteSource`. */
export type BytesLike = string | URL | Blob | ArrayBuffer | Uint8Array | ByteSource;

export interface OpenBytesOptions {
  /** Used for URLs. Default: the global `fetch`. */
  fetch?: typeof fetch | undefined;
  /** Sent with every request for a URL. */
  headers?: Record<string, string> | undefined;
}

export const isUrl = (source: unknown): boolean => (typeof source === 'string' || source instanceof URL) && /^(https?|blob|data):/.test(String(source));

/** Opens any of `BytesLike` for reading by range. */
export async function openBytes(source: BytesLike, options: OpenBytesOptions = {}): Promise<ByteSource> {
  if (source instanceof Uint8Array) return memory(source);
  if (source instanceof ArrayBuffer) return memory(new Uint8Array(source));
  if (typeof Blob !== 'undefined' && source instanceof Blob) return blob(source);
  if (isUrl(source)) return openUrl(String(source), options);
  if (source instanceof URL && source.protocol === 'file:') return openFile((await import('node:url')).fileURLToPath(source));
  if (typeof source === 'string') return openFile(source);
  if (typeof (source as ByteSource)?.read === 'function') return source as ByteSource;
  throw new CheckpointError('[openBytes] expected a path, URL, Blob, ArrayBuffer, Uint8Array or ByteSource. Hint: pass one of these.');
}

function checkRange(name: string, size: number, start: number, end: number): void {
  if (!(start >= 0 && end >= start && end <= size)) {
    throw new CheckpointError(`[read] ${name}: expected bytes ${start} to ${end}, the file has ${size}: it is truncated. Hint: download or write it again.`);
  }
}

function memory(bytes: Uint8Array, name = 'bytes in memory'): ByteSource {
  // A copy: kernels may update tensors in place, which must never reach the caller's buffer.
  const readSync = (start: number, end: number): Uint8Array => {
    checkRange(name, bytes.length, start, end);
    return Uint8Array.prototype.slice.call(bytes, start, end);
  };
  return {
    name,
    size: bytes.length,
    read: async (start, end) => readSync(start, end),
    readSync,
    close: async () => {},
  };
}

function blob(source: Blob): ByteSource {
  const name = (source as File).name || 'blob';
  return {
    name,
    size: source.size,
    read: async (start, end) => {
      checkRange(name, source.size, start, end);
      return new Uint8Array(await source.slice(start, end).arrayBuffer());
    },
    close: async () => {},
  };
}

async function openFile(path: string): Promise<ByteSource> {
  const { open } = await import('node:fs/promises');
  const { readSync } = await import('node:fs');
  const failed = (what: string, cause: unknown) =>
    new CheckpointError(`[read] ${path}: ${what}: ${(cause as Error).message}. Hint: check that the file exists and can be read.`, { cause });
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(path, 'r');
  } catch (e) {
    throw failed('cannot be opened', e);
  }
  const stat = await handle.stat();
  if (!stat.isFile()) {
    await handle.close();
    throw new CheckpointError(`[read] ${path}: expected a file, got a folder or device. Hint: name the file itself.`);
  }
  return {
    name: path,
    size: stat.size,
    async read(start, end) {
      checkRange(path, stat.size, start, end);
      const out = new Uint8Array(end - start);
      let done = 0;
      while (done < out.length) {
        // One read call moves at most 2 GiB on Linux.
        const { bytesRead } = await handle.read(out, done, Math.min(out.length - done, 1 << 30), start + done).catch((e: unknown) => {
          throw failed('cannot be read', e);
        });
        if (bytesRead === 0) checkRange(path, start + done, start, end);
        done += bytesRead;
      }
      return out;
    },
    readSync(start, end) {
      checkRange(path, stat.size, start, end);
      const out = new Uint8Array(end - start);
      for (let done = 0; done < out.length; ) {
        let bytesRead = 0;
        try {
          bytesRead = readSync(handle.fd, out, done, Math.min(out.length - done, 1 << 30), start + done);
        } catch (e) {
          throw failed('cannot be read', e);
        }
        if (bytesRead === 0) checkRange(path, start + done, start, end);
        done += bytesRead;
      }
      return out;
    },
    close: () => handle.close(),
  };
}

async function openUrl(url: string, options: OpenBytesOptions): Promise<ByteSource> {
  const get = options.fetch ?? fetch;
  const failed = (what: string, cause?: unknown) =>
    new CheckpointError(`[read] ${url}: ${what}. Hint: check the address, the network and, in a browser, that the server allows cross-origin range requests.`, { cause });
  const request = async (range: string): Promise<Response> => {
    let response: Response;
    try {
      response = await get(url, { headers: { ...options.headers, ...(/^https?:/.test(url) ? { Range: range } : {}) } });
    } catch (e) {
      throw failed(`the request failed (${(e as Error).message})`, e);
    }
    if (!response.ok) throw failed(`the server answered ${response.status} ${response.statusText}`.trim());
    return response;
  };
  const first = await request('bytes=0-0');
  const total = /\/(\d+)$/.exec(first.headers.get('content-range') ?? '');
  // Without range support the server sends everything: keep it.
  if (first.status !== 206 || !total) return memory(new Uint8Array(await first.arrayBuffer()), url);
  await first.body?.cancel();
  const size = Number(total[1]);
  return {
    name: url,
    size,
    async read(start, end) {
      checkRange(url, size, start, end);
      if (start === end) return new Uint8Array(0);
      const response = await request(`bytes=${start}-${end - 1}`);
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (response.status !== 206 || bytes.length !== end - start) {
        throw failed(`asked for ${end - start} bytes from ${start}, got ${bytes.length} with status ${response.status}`);
      }
      return bytes;
    },
    close: async () => {},
  };
}
