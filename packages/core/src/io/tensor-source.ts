import { CheckpointError } from '../errors.js';

/** Number formats found in checkpoints, named as safetensors names them. */
export const DTYPE_BYTES = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U64: 8, U32: 4, U16: 2, U8: 1, BOOL: 1 } as const;
export type StoredDtype = keyof typeof DTYPE_BYTES;

export interface TensorInfo {
  /** Format in the file. */
  dtype: StoredDtype;
  shape: readonly number[];
}

/** Values on the host, in the formats that backends have: every float format arrives as `float32`, every integer format as `int32`. */
export interface HostTensor {
  dtype: 'float32' | 'int32' | 'bool';
  shape: number[];
  values: Float32Array | Int32Array | Uint8Array;
}

/** What the special forms of `read` give. */
export interface RawTensor {
  /** `packed`: two 16-bit floats per int32 word along the last axis, the even one in the low half. */
  dtype: 'packed' | 'float64' | 'int64' | 'uint64';
  /** Logical shape, also of packed halves. */
  shape: number[];
  values: Int32Array | Float64Array | BigInt64Array | BigUint64Array;
}

export interface ReadOptions {
  /**
   * `packed`: keep F16 and BF16 as they are, two to an int32 word. `exact`: F64, I64 and U64 in their own width. Other formats are not
   * concerned. By default halves become float32 (exact), F64 is rounded to float32, and 64-bit integers must fit int32.
   */
  as?: 'packed' | 'exact' | undefined;
}

/** A checkpoint opened for reading: only names and shapes are in memory, values are read one tensor at a time. */
export interface TensorSource {
  /** File, folder or address, for messages. */
  readonly name: string;
  /** In the order of the file. */
  readonly names: readonly string[];
  /** Free-form strings of the file. */
  readonly metadata: Readonly<Record<string, string>>;
  has(name: string): boolean;
  /** @throws CheckpointError when there is no such tensor. */
  info(name: string): TensorInfo;
  /** Reads one tensor into memory of its own. @throws CheckpointError naming file and tensor. */
  read(name: string): Promise<HostTensor>;
  read(name: string, options: ReadOptions): Promise<HostTensor | RawTensor>;
  /**
   * Rows [first, first + count) along the first axis as they are stored: little-endian bytes in memory of their own. Only of sources that read
   * by range (safetensors).
   */
  readRows?(name: string, first: number, count: number): Promise<Uint8Array>;
  /** The same at once: of files in Node and bytes in memory. */
  readRowsSync?(name: string, first: number, count: number): Uint8Array;
  close(): Promise<void>;
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** The error for a name that a file does not have, with the closest names it has. */
export function noSuchTensor(file: string, name: string, names: Iterable<string>): CheckpointError {
  const leaf = name.split('.').slice(-2).join('.');
  const near = [...names].filter((n) => n.endsWith(leaf)).slice(0, 3);
  return new CheckpointError(`[read] ${file}: there is no tensor ${name}. Hint: ${near.length ? `it has ${near.join(', ')}.` : 'list `names` to see what it has.'}`);
}

/**
 * Decodes little-endian values.
 * @param bytes Owned by the result where the format allows it (F32, I32): pass memory of your own.
 * @throws CheckpointError when a 64-bit integer does not fit int32.
 */
export function decodeValues(bytes: Uint8Array, dtype: StoredDtype, shape: readonly number[], where: string, options: ReadOptions = {}): HostTensor | RawTensor {
  const n = sizeOf(shape);
  const out = (values: HostTensor['values'], kind: HostTensor['dtype']): HostTensor => ({ dtype: kind, shape: [...shape], values });
  const raw = (values: RawTensor['values'], kind: RawTensor['dtype']): RawTensor => ({ dtype: kind, shape: [...shape], values });
  const exact = options.as === 'exact';
  const aligned = bytes.byteOffset % DTYPE_BYTES[dtype] === 0 ? bytes : bytes.slice();
  const view = <T>(C: new (buffer: ArrayBuffer, offset: number, length: number) => T): T => new C(aligned.buffer as ArrayBuffer, aligned.byteOffset, n);
  switch (dtype) {
    case 'F32':
      return out(view(Float32Array), 'float32');
    case 'I32':
      return out(view(Int32Array), 'int32');
    case 'F64':
      return exact ? raw(view(Float64Array), 'float64') : out(Float32Array.from(view(Float64Array)), 'float32');
    case 'F16':
    case 'BF16': {
      const halves = view(Uint16Array);
      if (options.as === 'packed') return raw(packHalves(halves, shape), 'packed');
      return out(dtype === 'BF16' ? bf16ToFloat32(halves) : f16ToFloat32(halves), 'float32');
    }
    case 'I64':
      return exact ? raw(view(BigInt64Array), 'int64') : out(narrow(view(BigInt64Array), where), 'int32');
    case 'U64':
      return exact ? raw(view(BigUint64Array), 'uint64') : out(narrow(view(BigUint64Array), where), 'int32');
    case 'U32':
      return out(narrow(view(Uint32Array), where), 'int32');
    case 'I16':
      return out(Int32Array.from(view(Int16Array)), 'int32');
    case 'U16':
      return out(Int32Array.from(view(Uint16Array)), 'int32');
    case 'I8':
      return out(Int32Array.from(view(Int8Array)), 'int32');
    case 'U8':
      return out(Int32Array.from(view(Uint8Array)), 'int32');
    case 'BOOL':
      return out(view(Uint8Array).map((v) => (v ? 1 : 0)), 'bool');
  }
}

function narrow(values: ArrayLike<bigint | number>, where: string): Int32Array {
  const out = new Int32Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const v = values[i]!;
    out[i] = Number(v);
    if (v < -2147483648 || v > 2147483647) {
      throw new CheckpointError(`[read] ${where}: entry ${i} is ${v}, which does not fit int32. Hint: read it with as: 'exact'.`);
    }
  }
  return out;
}

/** bfloat16 bits to float32: exact. */
export function bf16ToFloat32(halves: Uint16Array): Float32Array {
  const out = new Float32Array(halves.length);
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return out;
}

/** IEEE half bits to float32: exact, subnormals, infinities and NaN included. */
export function f16ToFloat32(halves: Uint16Array): Float32Array {
  const out = new Float32Array(halves.length);
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < halves.length; i++) {
    const h = halves[i]!;
    const sign = (h & 0x8000) << 16;
    const exponent = (h >> 10) & 31;
    const mantissa = h & 1023;
    if (exponent === 0) {
      out[i] = mantissa * 2 ** -24;
      bits[i]! |= sign;
    } else bits[i] = sign | ((exponent === 31 ? 255 : exponent + 112) << 23) | (mantissa << 13);
  }
  return out;
}

/** Two halves a word along the last axis; a row of odd length ends in a word whose high half is 0. */
function packHalves(halves: Uint16Array, shape: readonly number[]): Int32Array {
  const width = shape.length ? shape[shape.length - 1]! : 1;
  const rows = width ? halves.length / width : 0;
  const words = Math.ceil(width / 2);
  const out = new Int32Array(rows * words);
  for (let r = 0; r < rows; r++)
    for (let i = 0; i < width; i++) out[r * words + (i >> 1)]! |= halves[r * width + i]! << (16 * (i & 1));
  return out;
}
