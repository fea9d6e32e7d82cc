import { CheckpointError } from '../errors.js';
import { decodeValues, DTYPE_BYTES, sizeOf, type ReadOptions, type StoredDtype, type TensorInfo, type TensorSource } from './tensor-source.js';

/** Rows [first, first + rows) of a stored tensor along its first axis. */
export interface RowSlice {
  name: string;
  first: number;
  rows: number;
}

/**
 * A source whose large matrices appear as several tensors, e.g. one per table of a matrix that holds all of them. Stored tensors that are cut
 * no longer appear under their own name, unless a slice has it; all others stay. Only the rows of a slice are read where the source can.
 *
 * @param slices new name → rows.
 * @throws CheckpointError when a stored tensor is missing or has too few rows, or a new name is taken.
 */
export function withRowSlices(source: TensorSource, slices: ReadonlyMap<string, RowSlice>): TensorSource {
  const cut = new Set([...slices.values()].map((s) => s.name));
  for (const [name, { name: from, first, rows }] of slices) {
    const { shape } = source.info(from);
    if (!(first >= 0 && rows >= 0 && shape.length > 0 && first + rows <= shape[0]!)) {
      throw new CheckpointError(`[withRowSlices] ${source.name}: ${from} has shape (${shape.join(', ')}), rows ${first} to ${first + rows} of it were to become ${name}. Hint: the configuration belongs to another file.`);
    }
    if (source.has(name) && !cut.has(name)) throw new CheckpointError(`[withRowSlices] ${source.name}: there is a tensor ${name} already.`);
  }
  const names = [...source.names.filter((n) => !cut.has(n)), ...slices.keys()];
  const info = (name: string): TensorInfo => {
    const slice = slices.get(name);
    if (!slice) return source.info(name);
    const { dtype, shape } = source.info(slice.name);
    return { dtype, shape: [slice.rows, ...shape.slice(1)] };
  };
  const read = async (name: string, options: ReadOptions = {}) => {
    const slice = slices.get(name);
    if (!slice) return source.read(name, options);
    const { dtype, shape } = info(name);
    if (source.readRows) return decodeValues(await source.readRows(slice.name, slice.first, slice.rows), dtype, shape, `${source.name}: tensor ${name}`, options);
    const { values, ...whole } = await source.read(slice.name);
    const width = sizeOf(shape.slice(1));
    return { ...whole, shape: [...shape], values: values.slice(slice.first * width, (slice.first + slice.rows) * width) };
  };
  const { readRows, readRowsSync } = source;
  const at = (name: string, first: number) => (slices.has(name) ? ([slices.get(name)!.name, slices.get(name)!.first + first] as const) : ([name, first] as const));
  return {
    name: source.name,
    names,
    metadata: source.metadata,
    has: (name) => slices.has(name) || (source.has(name) && !cut.has(name)),
    info,
    read: read as TensorSource['read'],
    ...(readRows && { readRows: async (name, first, count) => readRows.call(source, ...at(name, first), count) }),
    ...(readRowsSync && { readRowsSync: (name, first, count) => readRowsSync.call(source, ...at(name, first), count) }),
    close: () => source.close(),
  };
}

/** Byte range of rows within a tensor's values. @throws CheckpointError when it has too few. */
export function rowRange(where: string, { dtype, shape }: { dtype: StoredDtype; shape: readonly number[] }, first: number, count: number): [start: number, end: number] {
  if (!(shape.length > 0 && first >= 0 && count >= 0 && first + count <= shape[0]!)) {
    throw new CheckpointError(`[readRows] ${where}: expected rows within shape (${shape.join(', ')}), got ${first} to ${first + count}.`);
  }
  const bytes = sizeOf(shape.slice(1)) * DTYPE_BYTES[dtype];
  return [first * bytes, (first + count) * bytes];
}
