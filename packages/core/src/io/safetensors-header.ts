import { CheckpointError } from '../errors.js';
import { DTYPE_BYTES, sizeOf, type StoredDtype } from './tensor-source.js';

export interface SafetensorsEntry {
  dtype: StoredDtype;
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

/** The format's own limit: a longer header is damage or an attack. */
const MAX_HEADER = 100_000_000;

const isCount = (n: unknown): boolean => Number.isSafeInteger(n) && (n as number) >= 0;
const refuse = (file: string, what: string): never => {
  throw new CheckpointError(`[safetensors] ${file}: ${what} Hint: download or write the file again.`);
};

/** Length of the JSON header, from the first 8 bytes. @throws CheckpointError when it cannot be one. */
export function safetensorsHeaderLength(head: Uint8Array, fileSize: number, file: string): number {
  if (head.length < 8) refuse(file, `expected at least 8 bytes, got ${head.length}: the file is empty or truncated.`);
  const length = Number(new DataView(head.buffer, head.byteOffset, 8).getBigUint64(0, true));
  if (length > fileSize - 8) refuse(file, `the header claims ${length} bytes, the file has ${fileSize}: it is truncated or not safetensors.`);
  if (length > MAX_HEADER) refuse(file, `the header claims ${length} bytes, more than the ${MAX_HEADER} that the format allows.`);
  return length;
}

/**
 * Checks and reads the header: every range must fit its shape and the file, and the values must fill the file without gap or overlap.
 * @param head the first bytes of the file: 8 bytes of length and the JSON behind them.
 * @param fileSize whole size in bytes, against which every range is checked.
 * @param file name for messages.
 * @throws CheckpointError when the file is truncated or not safetensors.
 */
export function parseSafetensorsHeader(head: Uint8Array, fileSize: number, file: string): SafetensorsHeader {
  const bad = (what: string): never => refuse(file, what);
  const length = safetensorsHeaderLength(head, fileSize, file);
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
    const { dtype, shape, data_offsets: range } = (value ?? {}) as { dtype?: StoredDtype; shape?: number[]; data_offsets?: [number, number] };
    if (!dtype || !Array.isArray(shape) || !Array.isArray(range) || range.length !== 2) return bad(`tensor ${name}: incomplete entry.`);
    if (!Object.hasOwn(DTYPE_BYTES, dtype)) return bad(`tensor ${name}: dtype ${dtype} is not supported (${Object.keys(DTYPE_BYTES).join(', ')} are).`);
    if (!shape.every(isCount) || !range.every(isCount)) return bad(`tensor ${name}: shape and offsets must be non-negative integers.`);
    const size = sizeOf(shape) * DTYPE_BYTES[dtype];
    if (range[1] - range[0] !== size) bad(`tensor ${name}: shape (${shape.join(', ')}) needs ${size} bytes, its range has ${range[1] - range[0]}.`);
    if (dataStart + range[1] > fileSize) bad(`tensor ${name} ends at byte ${dataStart + range[1]}, the file has ${fileSize}: it is truncated.`);
    entries.set(name, { dtype, shape, start: dataStart + range[0], end: dataStart + range[1] });
  }
  checkTiling(entries, dataStart, fileSize, bad);
  return { entries, metadata: readMetadata(json.__metadata__, bad), dataStart };
}

function checkTiling(entries: Map<string, SafetensorsEntry>, dataStart: number, fileSize: number, bad: (what: string) => never): void {
  let next = dataStart;
  for (const [name, e] of [...entries].sort(([, a], [, b]) => a.start - b.start || a.end - b.end)) {
    if (e.start !== next) bad(`tensor ${name} starts at byte ${e.start}, expected ${next}: tensors overlap or leave a gap.`);
    next = e.end;
  }
  if (next !== fileSize) bad(`the tensors end at byte ${next}, the file has ${fileSize}.`);
}

function readMetadata(value: unknown, bad: (what: string) => never): Record<string, string> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || !Object.values(value).every((v) => typeof v === 'string')) return bad('__metadata__ must map strings to strings.');
  return value as Record<string, string>;
}
