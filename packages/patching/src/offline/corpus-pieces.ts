import { DataError } from '@bytelm/core';
import type { FileHandle } from 'node:fs/promises';
import { BEGINS, ENDS } from './shard-format.js';

/** The part of a corpus file that one shard is about. */
export interface CorpusPiece {
  path: string;
  index: number;
  start: number;
  end: number;
  bytes: Uint8Array;
  /** As in `PatchShard`. */
  documents: Int32Array;
}

export interface PieceOptions {
  /** Ends a document. `undefined`: a file is one. */
  separator: Uint8Array | undefined;
  /** The separator is a part of the document it ends. */
  keepSeparator: boolean;
  shardBytes: number;
}

/** How far back a document that is longer than a shard is cut at a line or word. */
const SOFT_CUT = 4096;

/**
 * A file of any size in pieces of whole documents, one piece in memory at a time. A document longer than a shard is cut, behind a line or a
 * word where there is one, and goes on as the next one.
 */
export async function* corpusPieces(path: string, options: PieceOptions): AsyncGenerator<CorpusPiece> {
  const { open } = await import('node:fs/promises');
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    let begins = true;
    // A separator may reach over the end of a window.
    const reach = options.shardBytes + (options.separator?.length ?? 1) - 1;
    for (let start = 0, index = 0; start < size; index++) {
      const window = await readRange(handle, path, start, Math.min(size, start + reach));
      const isLast = start + window.length === size;
      const { length, ends } = isLast ? { length: window.length, ends: true } : cutOf(window, options);
      const bytes = window.subarray(0, length);
      yield { path, index, start, end: start + length, bytes, documents: documentsIn(bytes, options, begins, ends) };
      start += length;
      begins = ends;
    }
  } finally {
    await handle.close();
  }
}

/** Where to end a piece that is not the file's last, and whether a document ends there. */
function cutOf(window: Uint8Array, { separator, shardBytes }: PieceOptions): { length: number; ends: boolean } {
  const buffer = Buffer.from(window.buffer, window.byteOffset, window.length);
  const last = separator ? buffer.lastIndexOf(separator) : -1;
  if (last >= 0) return { length: last + separator!.length, ends: true };
  const from = Math.max(1, shardBytes - SOFT_CUT);
  for (const byte of [0x0a, 0x20]) {
    const found = buffer.lastIndexOf(byte, shardBytes - 1);
    if (found >= from) return { length: found + 1, ends: false };
  }
  return { length: wholeCharacters(window, shardBytes), ends: false };
}

/** The largest length up to `end` that cuts no UTF-8 character; what is no UTF-8 is cut anywhere. */
function wholeCharacters(bytes: Uint8Array, end: number): number {
  for (let back = 1; back <= 3 && back < end; back++) {
    const byte = bytes[end - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needs > back ? end - back : end;
  }
  return end;
}

function documentsIn(bytes: Uint8Array, { separator, keepSeparator }: PieceOptions, begins: boolean, ends: boolean): Int32Array {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const out: number[] = [];
  for (let start = 0; start < bytes.length; ) {
    const found = separator ? buffer.indexOf(separator, start) : -1;
    const end = found < 0 ? bytes.length : keepSeparator ? found + separator!.length : found;
    const next = found < 0 ? bytes.length : found + separator!.length;
    const flags = (start > 0 || begins ? BEGINS : 0) | (found >= 0 || ends ? ENDS : 0);
    if (end > start) out.push(start, end, flags);
    start = next;
  }
  return Int32Array.from(out);
}

async function readRange(handle: FileHandle, path: string, start: number, end: number): Promise<Uint8Array> {
  const out = new Uint8Array(end - start);
  for (let done = 0; done < out.length; ) {
    const { bytesRead } = await handle.read(out, done, out.length - done, start + done);
    if (!bytesRead) throw new DataError(`[patchFiles] ${path}: expected ${end} bytes, it ends at ${start + done}. Hint: do not change files while they are patched.`);
    done += bytesRead;
  }
  return out;
}
