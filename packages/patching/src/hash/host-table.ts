import { CheckpointError, ShapeError } from '@bytelm/core';
import { f16ToFloat32, float32ToBf16, type StoredDtype, type TensorSource } from '@bytelm/core/io';

/** A hash table outside of any backend: rows are fetched when they are needed. */
export interface HostTable {
  readonly rows: number;
  readonly width: number;
  /** Format the rows are kept in. */
  readonly dtype: 'F32' | 'BF16' | 'F16';
  /** Bytes that the table keeps in memory; 0 when rows stay in their file. */
  readonly bytesInMemory: number;
  /** out[at + d] += row[d]. */
  addRow(row: number, out: Float32Array, at: number): void;
}

/** Rows of a tensor in a checkpoint: a whole table, or its part of a matrix that holds all tables one below the other. */
export interface StoredRows {
  name: string;
  first: number;
  rows: number;
}

const FORMATS: readonly StoredDtype[] = ['F32', 'BF16', 'F16'];
const widthOf = { F32: 4, BF16: 2, F16: 2 };

/** @throws CheckpointError, ShapeError when the tensor does not hold these rows. */
function storedFormat(source: TensorSource, { name, first, rows }: StoredRows, width: number): HostTable['dtype'] {
  const { dtype, shape } = source.info(name);
  if (!FORMATS.includes(dtype)) throw new CheckpointError(`[loadTables] ${source.name}: ${name} has dtype ${dtype}, expected ${FORMATS.join(', ')}.`);
  if (shape.length !== 2 || shape[1] !== width || shape[0]! < first + rows) {
    throw new ShapeError(
      `[loadTables] ${source.name}: ${name} has shape (${shape.join(', ')}), expected at least ${first + rows} rows of ${width}. Hint: check dModel, vocabularySize, sizes and numFunctions.`,
    );
  }
  return dtype as HostTable['dtype'];
}

/** Rows read from the file one at a time: memory stays free, the operating system's cache does the rest. */
export function fileTable(source: TensorSource, stored: StoredRows, width: number): HostTable {
  const dtype = storedFormat(source, stored, width);
  const { readRowsSync } = source;
  if (!readRowsSync) {
    throw new CheckpointError(`[loadTables] ${source.name} cannot be read row by row at once. Hint: a safetensors file on disk, or keep: 'memory'.`);
  }
  return {
    rows: stored.rows,
    width,
    dtype,
    bytesInMemory: 0,
    addRow: (row, out, at) => addValues(view(readRowsSync.call(source, stored.name, stored.first + row, 1), dtype), 0, width, dtype, out, at),
  };
}

/** Bytes that are read at once; also the largest array that is kept. */
const SHARD_BYTES = 1 << 28;

type Values = Float32Array | Uint16Array;

/**
 * Rows kept in memory, in shards and in the format of the file.
 * @param options.as `bf16` rounds F32 rows to half their size. Default `stored`: every bit is kept.
 */
export async function memoryTable(source: TensorSource, stored: StoredRows, width: number, { as = 'stored' }: { as?: 'stored' | 'bf16' | undefined } = {}): Promise<HostTable> {
  const { dtype: from, read } = await reader(source, stored, width);
  const dtype = as === 'bf16' && from === 'F32' ? 'BF16' : from;
  const perShard = Math.max(1, Math.floor(SHARD_BYTES / (width * widthOf[from])));
  const shards: Values[] = [];
  for (let first = 0; first < stored.rows; first += perShard) {
    const values = await read(first, Math.min(perShard, stored.rows - first));
    shards.push(dtype === from ? values : float32ToBf16(values as Float32Array));
  }
  return {
    rows: stored.rows,
    width,
    dtype,
    bytesInMemory: stored.rows * width * widthOf[dtype],
    addRow: (row, out, at) => addValues(shards[Math.floor(row / perShard)]!, (row % perShard) * width, width, dtype, out, at),
  };
}

/** Reads rows as they are stored; a source that only gives whole tensors, in float32, is read once. */
async function reader(source: TensorSource, stored: StoredRows, width: number): Promise<{ dtype: HostTable['dtype']; read: (first: number, count: number) => Promise<Values> }> {
  const dtype = storedFormat(source, stored, width);
  if (source.readRows) return { dtype, read: async (first, count) => view(await source.readRows!(stored.name, stored.first + first, count), dtype) };
  const { values } = await source.read(stored.name);
  const part = (first: number, count: number) => values.slice((stored.first + first) * width, (stored.first + first + count) * width) as Float32Array;
  if (dtype === 'BF16') return { dtype, read: async (first, count) => float32ToBf16(part(first, count)) };
  return { dtype: 'F32', read: async (first, count) => part(first, count) };
}

function view(bytes: Uint8Array, dtype: HostTable['dtype']): Values {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const C = dtype === 'F32' ? Float32Array : Uint16Array;
  return new C(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / widthOf[dtype]);
}

let rowOfBits = new Uint32Array(0);

/** out[at + d] += values[from + d] for d < width. */
function addValues(values: Values, from: number, width: number, dtype: HostTable['dtype'], out: Float32Array, at: number): void {
  let row: Float32Array;
  if (dtype === 'BF16') {
    if (rowOfBits.length < width) rowOfBits = new Uint32Array(width);
    for (let d = 0; d < width; d++) rowOfBits[d] = values[from + d]! << 16;
    row = new Float32Array(rowOfBits.buffer, 0, width);
  } else row = dtype === 'F16' ? f16ToFloat32(values.subarray(from, from + width) as Uint16Array) : (values.subarray(from, from + width) as Float32Array);
  for (let d = 0; d < width; d++) out[at + d]! += row[d]!;
}
