import { CheckpointError } from '../errors.js';

/** dtypes of the safetensors format that bytelm reads, with their size in bytes. */
export const SAFETENSORS_BYTES = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, BOOL: 1 } as const;
export type SafetensorsDtype = keyof typeof SAFETENSORS_BYTES;

export interface SafetensorsEntry {
  dtype: SafetensorsDtype;
  shape: number[];
  /** Byte range of the values in the file. */
  start: number;
  end: number;
}

export interface SafetensorsHeader {
  entries: Map<string, SafetensorsEntry>;
  metadata: Record<string, string>;
  /** Where the values begin. */
  dataStart: number;
}

/**
 * Checks and reads the header.
 * @param head the first bytes of the file: 8 bytes of length and the JSON behind them.
 * @param fileSize whole size in bytes, against which every range is checked.
 * @param file name for messages.
 * @throws CheckpointError when the file is truncated or not safetensors.
 */
export function parseSafetensorsHeader(head: Uint8Array, fileSize: number, file: string): SafetensorsHeader {
  const bad = (what: string): never => {
    throw new CheckpointError(`[safetensors] ${file}: ${what} Hint: download or write the file again.`);
  };
  if (head.length < 8) bad(`expected at least 8 bytes, got ${head.length}: the file is empty or truncated.`);
  const length = Number(new DataView(head.buffer, head.byteOffset, 8).getBigUint64(0, true));
  if (length > fileSize - 8) bad(`the header claims ${length} bytes, the file has ${fileSize}: it is truncated or not safetensors.`);
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(head.subarray(8, 8 + length))) as Record<string, unknown>;
  } catch {
    return bad('the header is not JSON.');
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) bad('the header is not a JSON object.');
  const dataStart = 8 + length;
  const entries = new Map<string, SafetensorsEntry>();
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') continue;
    const { dtype, shape, data_offsets: range } = (value ?? {}) as { dtype?: SafetensorsDtype; shape?: number[]; data_offsets?: [number, number] };
    if (!dtype || !Array.isArray(shape) || !Array.isArray(range) || range.length !== 2) return bad(`tensor ${name}: incomplete entry.`);
    const width = SAFETENSORS_BYTES[dtype];
    if (!width) return bad(`tensor ${name}: dtype ${dtype} is not supported (${Object.keys(SAFETENSORS_BYTES).join(', ')} are).`);
    const isCount = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0;
    if (!shape.every(isCount) || !range.every(isCount)) return bad(`tensor ${name}: shape and offsets must be non-negative integers.`);
    const size = shape.reduce((a, b) => a * b, 1) * width;
    if (range[1] - range[0] !== size) bad(`tensor ${name}: shape (${shape.join(', ')}) needs ${size} bytes, its range has ${range[1] - range[0]}.`);
    if (dataStart + range[1] > fileSize) bad(`tensor ${name} ends at byte ${dataStart + range[1]}, the file has ${fileSize}: it is truncated.`);
    entries.set(name, { dtype, shape, start: dataStart + range[0], end: dataStart + range[1] });
  }
  return { entries, metadata: (json.__metadata__ as Record<string, string>) ?? {}, dataStart };
}
