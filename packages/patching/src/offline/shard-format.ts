import { DataError } from '@bytelm/core';
import { f16ToFloat32 } from '@bytelm/core/io';
import { createHash } from 'node:crypto';
import { toFloat16 } from './float16.js';

export type EntropyDtype = 'float32' | 'float16';

/** What a shard says about itself. Offsets are bytes of the corpus file. */
export interface ShardHeader {
  format: 1;
  /** The corpus file, without its folder. */
  file: string;
  start: number;
  end: number;
  /** SHA-256 of the corpus bytes [start, end). */
  corpus: string;
  /** What decided about boundaries; shards with other settings are not of one piece. */
  settings: ShardSettings;
  documents: number;
  /** Patches, those of begin and end ids included. */
  chunks: number;
  /** Ids: bytes in documents, begin and end ids. */
  ids: number;
  entropies: EntropyDtype | null;
}

export interface ShardSettings {
  patcher: Record<string, unknown>;
  /** SHA-256 of the entropy model's weights, `null` without one. */
  model: string | null;
  bos: number | null;
  eos: number | null;
  separator: string | null;
  keepSeparator: boolean;
  shardBytes: number;
}

export const BEGINS = 1;
export const ENDS = 2;

export interface PatchShard {
  header: ShardHeader;
  /** Three entries for each document: its start and end in the shard, and whether it begins (`BEGINS`) and ends (`ENDS`) here or was cut. */
  documents: Int32Array;
  /** One for each corpus byte: 1 where a patch ends. Begin and end ids have none: they always end one. */
  boundaries: Uint8Array;
  /** One for each corpus byte, nats. */
  entropies?: Float32Array | undefined;
}

const MAGIC = 'bytelm-patches-1';
const CHECKSUM_BYTES = 32;
const align = (n: number): number => Math.ceil(n / 4) * 4;
const sha256 = (...parts: Uint8Array[]): Buffer => parts.reduce((h, p) => h.update(p), createHash('sha256')).digest();

export const hexHash = (bytes: Uint8Array): string => sha256(bytes).toString('hex');

/** Magic, length of the header, header (JSON), documents, boundary bits, entropies, each at a multiple of 4; SHA-256 of all of it at the end. */
export function* encodeShard({ header, documents, boundaries, entropies }: PatchShard): Generator<Uint8Array> {
  const json = new TextEncoder().encode(JSON.stringify(header));
  const start = new Uint8Array(MAGIC.length + 4 + align(json.length)).fill(0x20);
  start.set(new TextEncoder().encode(MAGIC));
  new DataView(start.buffer).setUint32(MAGIC.length, align(json.length), true);
  start.set(json, MAGIC.length + 4);
  const bits = new Uint8Array(align(Math.ceil(boundaries.length / 8)));
  boundaries.forEach((b, i) => (bits[i >> 3]! |= b << (i & 7)));
  const parts = [start, bytesOf(documents), bits];
  if (header.entropies) parts.push(bytesOf(header.entropies === 'float16' ? toFloat16(entropies!) : entropies!));
  yield* parts;
  yield sha256(...parts);
}

/** @throws DataError when the file is no shard, was cut short or changed. @param path for messages. */
export function decodeShard(file: Uint8Array, path: string): PatchShard {
  const bad = (what: string) => new DataError(`[readShard] ${path}: ${what}. Hint: patchFiles makes it anew.`);
  const text = new TextDecoder();
  if (file.length < MAGIC.length + 4 || text.decode(file.subarray(0, MAGIC.length)) !== MAGIC) throw bad(`expected a file that begins with ${MAGIC}, got ${file.length} other bytes`);
  const body = file.subarray(0, file.length - CHECKSUM_BYTES);
  if (!sha256(body).equals(file.subarray(body.length))) throw bad('its checksum is wrong: it was cut short or changed');
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let at = MAGIC.length + 4;
  const take = (bytes: number): ArrayBuffer => {
    // A copy: sections need not lie at addresses that their numbers can be read from.
    const part = new Uint8Array(file.subarray(at, (at += bytes)));
    return part.buffer;
  };
  const header = JSON.parse(text.decode(take(view.getUint32(MAGIC.length, true)))) as ShardHeader;
  const n = header.end - header.start;
  const documents = new Int32Array(take(header.documents * 12));
  const bits = new Uint8Array(take(align(Math.ceil(n / 8))));
  const boundaries = Uint8Array.from({ length: n }, (_, i) => (bits[i >> 3]! >> (i & 7)) & 1);
  if (!header.entropies) return { header, documents, boundaries };
  const entropies = header.entropies === 'float16' ? f16ToFloat32(new Uint16Array(take(n * 2))) : new Float32Array(take(n * 4));
  return { header, documents, boundaries, entropies };
}

const bytesOf = (a: Int32Array | Float32Array | Uint16Array): Uint8Array => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);
