import type * as tf from '@tensorflow/tfjs-core';
import { CheckpointError } from '../errors.js';
import { packedShape } from '../module/weight-format.js';
import { DTYPE_BYTES, sizeOf, type HostTensor, type StoredDtype } from './tensor-source.js';
import { writeFileAtomic, type WriteFs } from './write-atomic.js';

/** A tensor that is made while it is written, little-endian, row-major: it need not fit in memory. */
export interface StreamedTensor {
  dtype: StoredDtype;
  shape: readonly number[];
  /** @returns pieces of any sizes that together have as many bytes as `dtype` and `shape` say. */
  chunks(): Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/** What can be saved under a name: a tensor of any backend, values on the host, or a stream of bytes. */
export type SavableTensor = tf.Tensor | HostTensor | StreamedTensor;
export type SavableTensors = ReadonlyMap<string, SavableTensor> | Readonly<Record<string, SavableTensor>>;

/** Packed weights as what they are: their words are rows of BF16. */
export function savable(t: SavableTensor): SavableTensor {
  const shape = packedShape(t);
  if (!shape) return t;
  const words = t as tf.Tensor;
  return {
    dtype: 'BF16',
    shape,
    async *chunks() {
      const values = await words.data();
      yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    },
  };
}

const STORED: Record<string, StoredDtype> = { float32: 'F32', int32: 'I32', bool: 'BOOL' };

/** The format in the file; `undefined` for one that cannot be stored. */
export const storedDtype = (t: SavableTensor): StoredDtype | undefined => ('chunks' in t ? t.dtype : STORED[t.dtype]);
/** Bytes of the values in the file. */
export const storedBytes = (t: SavableTensor): number => sizeOf(t.shape) * DTYPE_BYTES[storedDtype(t)!];

/**
 * Writes tensors (float32, int32, bool, and streams of any format) as one safetensors file, atomically and one tensor at a time: memory stays
 * at the largest of them.
 *
 * @param metadata Strings kept in the file's header.
 * @throws CheckpointError for a dtype that cannot be stored, and for a failed write (the old file then stays as it was).
 * @example
 * await saveSafetensors(model.parameters(), 'model.safetensors', { format: 'pt' });
 */
export async function saveSafetensors(tensors: SavableTensors, path: string, metadata: Record<string, string> = {}, options: { fs?: WriteFs } = {}): Promise<void> {
  await writeFileAtomic(path, safetensorsChunks(tensors, metadata), options);
}

/** The same file in memory, for browsers. */
export async function serializeSafetensors(tensors: SavableTensors, metadata: Record<string, string> = {}): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of safetensorsChunks(tensors, metadata)) parts.push(part);
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The file piece by piece: the header, then the values of each tensor. */
export async function* safetensorsChunks(tensors: SavableTensors, metadata: Record<string, string> = {}): AsyncGenerator<Uint8Array> {
  const list = ([...(tensors instanceof Map ? tensors : Object.entries(tensors))] as [string, SavableTensor][]).map(([name, t]): [string, SavableTensor] => [name, savable(t)]);
  const refused = list.filter(([name, t]) => !storedDtype(t) || name === '__metadata__').map(([name, t]) => `${name} (${t.dtype})`);
  if (refused.length) throw new CheckpointError(`[saveSafetensors] expected float32, int32 or bool tensors with names other than __metadata__, got ${refused.join(', ')}. Hint: cast or leave them out.`);
  // Wide formats first, so that every tensor is aligned to its width.
  list.sort(([, a], [, b]) => DTYPE_BYTES[storedDtype(b)!] - DTYPE_BYTES[storedDtype(a)!]);
  const header = new Map<string, unknown>();
  if (Object.keys(metadata).length) header.set('__metadata__', metadata);
  let end = 0;
  for (const [name, t] of list) {
    const start = end;
    end += storedBytes(t);
    header.set(name, { dtype: storedDtype(t), shape: t.shape, data_offsets: [start, end] });
  }
  const json = `{${[...header].map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(',')}}`;
  const text = new TextEncoder().encode(json);
  const head = new Uint8Array(Math.ceil((8 + text.length) / 8) * 8).fill(32);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(text, 8);
  yield head;
  for (const [name, t] of list) {
    if ('chunks' in t) {
      yield* streamed(name, t);
      continue;
    }
    const values = 'values' in t ? t.values : await t.data();
    yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  }
}

async function* streamed(name: string, t: StreamedTensor): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of t.chunks()) {
    bytes += chunk.length;
    yield chunk;
  }
  if (bytes !== storedBytes(t)) throw new CheckpointError(`[saveSafetensors] ${name}: expected ${storedBytes(t)} bytes for ${t.dtype} (${t.shape.join(', ')}), its stream gave ${bytes}.`);
}
