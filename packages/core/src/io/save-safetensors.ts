import type * as tf from '@tensorflow/tfjs-core';
import { CheckpointError } from '../errors.js';
import { DTYPE_BYTES, sizeOf, type HostTensor, type StoredDtype } from './tensor-source.js';
import { writeFileAtomic, type WriteFs } from './write-atomic.js';

/** What can be saved under a name: a tensor of any backend, or values on the host. */
export type SavableTensor = tf.Tensor | HostTensor;
export type SavableTensors = ReadonlyMap<string, SavableTensor> | Readonly<Record<string, SavableTensor>>;

const STORED: Record<string, StoredDtype> = { float32: 'F32', int32: 'I32', bool: 'BOOL' };

/**
 * Writes tensors (float32, int32, bool) as one safetensors file, atomically and one tensor at a time: memory stays at the largest of them.
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
  const list = [...(tensors instanceof Map ? tensors : Object.entries(tensors))] as [string, SavableTensor][];
  const refused = list.filter(([name, t]) => !STORED[t.dtype] || name === '__metadata__').map(([name, t]) => `${name} (${t.dtype})`);
  if (refused.length) throw new CheckpointError(`[saveSafetensors] expected float32, int32 or bool tensors with names other than __metadata__, got ${refused.join(', ')}. Hint: cast or leave them out.`);
  // Wide formats first, so that every tensor is aligned to its width.
  list.sort(([, a], [, b]) => DTYPE_BYTES[STORED[b.dtype]!] - DTYPE_BYTES[STORED[a.dtype]!]);
  const header = new Map<string, unknown>();
  if (Object.keys(metadata).length) header.set('__metadata__', metadata);
  let end = 0;
  for (const [name, t] of list) {
    const start = end;
    end += sizeOf(t.shape) * DTYPE_BYTES[STORED[t.dtype]!];
    header.set(name, { dtype: STORED[t.dtype], shape: t.shape, data_offsets: [start, end] });
  }
  const json = `{${[...header].map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(',')}}`;
  const text = new TextEncoder().encode(json);
  const head = new Uint8Array(Math.ceil((8 + text.length) / 8) * 8).fill(32);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(text, 8);
  yield head;
  for (const [, t] of list) {
    const values = 'values' in t ? t.values : await t.data();
    yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  }
}
