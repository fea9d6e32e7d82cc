import * as tf from '@tensorflow/tfjs-core';
import { CheckpointError } from '../errors.js';
import type { StateTree } from '../state.js';
import type { BytesLike } from './byte-source.js';
import { openSafetensors } from './safetensors.js';
import { saveSafetensors, type SavableTensor } from './save-safetensors.js';
import type { HostTensor, TensorSource } from './tensor-source.js';
import type { WriteFs } from './write-atomic.js';

/** Host arrays that states hold, and how they are stored. */
const ARRAYS = { Float32Array, Int32Array, Uint8Array, Int8Array } as const;
type ArrayName = keyof typeof ARRAYS;

/** The tree in the file's metadata: plain JSON in which leaves that JSON has not are objects with one of these keys. */
type Leaf = { $tensor: string } | { $array: ArrayName; $name: string } | { $number: 'Infinity' | '-Infinity' | 'NaN' } | { $undefined: true };

const FORMAT = 'bytelm state 1';

/**
 * Writes a decoding state as one safetensors file, atomically, so that a long prompt is read once: tensors and typed arrays under their path
 * in the tree, the tree itself as JSON in the metadata.
 *
 * @param metadata Strings of the caller's, e.g. which model and which text the state belongs to.
 * @throws CheckpointError for a leaf that cannot be stored (it names the path), and for a failed write.
 * @example
 * await saveState(state, 'prompt.state', { model: 'models/tiny' });
 * let { state } = await loadState('prompt.state');
 */
export async function saveState(state: StateTree, path: string, metadata: Record<string, string> = {}, options: { fs?: WriteFs } = {}): Promise<void> {
  const tensors = new Map<string, SavableTensor>();
  const tree = JSON.stringify(flatten(state, 'state', tensors));
  await saveSafetensors(tensors, path, { ...metadata, format: FORMAT, tree }, options);
}

/**
 * Reads what `saveState` wrote onto the active backend; the caller owns the state.
 * @throws CheckpointError when it is no such file, or a damaged one.
 */
export async function loadState<S = StateTree>(source: BytesLike): Promise<{ state: S; metadata: Record<string, string> }> {
  const file = await openSafetensors(source);
  try {
    const { format, tree, ...metadata } = file.metadata;
    if (format !== FORMAT || tree === undefined) {
      throw new CheckpointError(`[loadState] ${file.name}: expected a file of saveState (format '${FORMAT}'), got format ${JSON.stringify(format ?? 'none')}.`);
    }
    const values = new Map<string, HostTensor>();
    for (const name of file.names) values.set(name, await file.read(name));
    return { state: restore(parseTree(tree, file), values, file) as S, metadata };
  } finally {
    await file.close();
  }
}

function flatten(node: StateTree, path: string, tensors: Map<string, SavableTensor>): unknown {
  if (node instanceof tf.Tensor) {
    tensors.set(path, node);
    return { $tensor: path } satisfies Leaf;
  }
  if (ArrayBuffer.isView(node)) {
    const name = node.constructor.name as ArrayName;
    if (!(name in ARRAYS)) throw new CheckpointError(`[saveState] ${path}: expected one of ${Object.keys(ARRAYS).join(', ')}, got ${name}.`);
    const array = node as Float32Array | Int32Array | Uint8Array | Int8Array;
    const shape = [array.length];
    tensors.set(path, array instanceof Float32Array ? { dtype: 'float32', shape, values: array } : { dtype: 'int32', shape, values: Int32Array.from(array) });
    return { $array: name, $name: path } satisfies Leaf;
  }
  if (Array.isArray(node)) return node.map((n, i) => flatten(n, `${path}.${i}`, tensors));
  if (node === undefined) return { $undefined: true } satisfies Leaf;
  if (typeof node === 'number' && !Number.isFinite(node)) return { $number: String(node) as 'NaN' } satisfies Leaf;
  if (node === null || ['string', 'number', 'boolean'].includes(typeof node)) return node;
  const prototype = typeof node === 'object' ? (Object.getPrototypeOf(node) as unknown) : undefined;
  if (prototype !== Object.prototype && prototype !== null) {
    throw new CheckpointError(`[saveState] ${path}: expected plain objects, arrays, tensors, typed arrays and JSON values, got ${typeof node === 'object' ? node.constructor.name : typeof node}.`);
  }
  return Object.fromEntries(Object.entries(node as object).map(([k, v]) => [k, flatten(v, `${path}.${k}`, tensors)]));
}

function parseTree(tree: string, file: TensorSource): unknown {
  try {
    return JSON.parse(tree) as unknown;
  } catch (cause) {
    throw new CheckpointError(`[loadState] ${file.name}: the tree in its header is damaged: ${(cause as Error).message}`, { cause });
  }
}

function restore(node: unknown, values: ReadonlyMap<string, HostTensor>, file: TensorSource): unknown {
  if (Array.isArray(node)) return node.map((n) => restore(n, values, file));
  if (node === null || typeof node !== 'object') return node;
  const valueOf = (name: string): HostTensor => {
    const found = values.get(name);
    if (!found) throw new CheckpointError(`[loadState] ${file.name}: its tree names ${name}, which the file does not have.`);
    return found;
  };
  const leaf = node as Partial<Record<string, string>>;
  if (leaf.$tensor !== undefined) {
    const t = valueOf(leaf.$tensor);
    return tf.tensor(t.values, t.shape, t.dtype);
  }
  if (leaf.$array !== undefined) {
    const make = ARRAYS[leaf.$array as ArrayName];
    if (!make) throw new CheckpointError(`[loadState] ${file.name}: unknown kind of array ${leaf.$array}.`);
    return make.from(valueOf(leaf.$name!).values);
  }
  if (leaf.$number !== undefined) return Number(leaf.$number);
  if ('$undefined' in leaf) return undefined;
  return Object.fromEntries(Object.entries(node).map(([k, v]) => [k, restore(v, values, file)]));
}
