import { CheckpointError } from '../errors.js';
import type { ByteSource } from './byte-source.js';

/** A stored (uncompressed) member of a zip archive. */
export interface ZipEntry {
  name: string;
  size: number;
  /** Byte of the member's local header; its values begin behind it (see `zipDataStart`). */
  headerStart: number;
}

const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const MAX32 = 0xffffffff;

const refuse = (file: string, what: string): never => {
  throw new CheckpointError(`[zip] ${file}: ${what} Hint: the file is truncated or damaged; download or write it again.`);
};
const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const uint64 = (v: DataView, at: number): number => Number(v.getBigUint64(at, true));

/**
 * Members of a zip or zip64 archive, from its central directory (local headers may hold no sizes: torch writes data descriptors).
 *
 * @throws CheckpointError when the archive is truncated, damaged, compressed or encrypted.
 * @source PKWARE APPNOTE 6.3.
 */
export async function readZipDirectory(source: ByteSource): Promise<Map<string, ZipEntry>> {
  const { count, start, size } = await findDirectory(source);
  const bytes = await source.read(start, start + size);
  const v = view(bytes);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > size || v.getUint32(at, true) !== CENTRAL) refuse(source.name, `entry ${i} of ${count} of the directory is damaged.`);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((o) => v.getUint16(at + o, true)) as [number, number, number];
    const next = at + 46 + nameLength + extraLength + commentLength;
    if (next > size) refuse(source.name, `entry ${i} of the directory ends beyond it.`);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    if (v.getUint16(at + 8, true) & 1) refuse(source.name, `${name} is encrypted.`);
    if (v.getUint16(at + 10, true) !== 0) refuse(source.name, `${name} is compressed, expected stored members as torch.save writes them.`);
    const extra = bytes.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength);
    const sizes = wide(source.name, name, extra, [v.getUint32(at + 24, true), v.getUint32(at + 20, true), v.getUint32(at + 42, true)]);
    if (sizes[0] !== sizes[1]) refuse(source.name, `${name}: stored size ${sizes[1]} differs from its size ${sizes[0]}.`);
    if (!(sizes[2]! + 30 + sizes[0]! <= start)) refuse(source.name, `${name} ends beyond the file's directory.`);
    if (entries.has(name)) refuse(source.name, `${name} occurs twice.`);
    entries.set(name, { name, size: sizes[0]!, headerStart: sizes[2]! });
    at = next;
  }
  return entries;
}

/** Replaces values of 0xffffffff by those in the zip64 extra field, in its fixed order. */
function wide(file: string, name: string, extra: Uint8Array, values: number[]): number[] {
  if (!values.includes(MAX32)) return values;
  const v = view(extra);
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = v.getUint16(at + 2, true);
    if (v.getUint16(at, true) === 1) {
      let field = at + 4;
      return values.map((value) => {
        if (value !== MAX32) return value;
        if (field + 8 > Math.min(at + 4 + length, extra.length)) refuse(file, `${name}: its zip64 sizes are missing.`);
        field += 8;
        return uint64(v, field - 8);
      });
    }
    at += 4 + length;
  }
  return refuse(file, `${name}: its zip64 sizes are missing.`);
}

/** Where the central directory lies: from the end record, or its zip64 form. */
async function findDirectory(source: ByteSource): Promise<{ count: number; start: number; size: number }> {
  // The end record is 22 bytes plus a comment of up to 65,535.
  const tailStart = Math.max(0, source.size - 22 - 65535);
  const tail = await source.read(tailStart, source.size);
  const v = view(tail);
  let end = tail.length - 22;
  while (end >= 0 && !(v.getUint32(end, true) === END && end + 22 + v.getUint16(end + 20, true) === tail.length)) end--;
  if (end < 0) refuse(source.name, 'there is no end-of-directory record.');
  let [count, size, start] = [v.getUint16(end + 10, true), v.getUint32(end + 12, true), v.getUint32(end + 16, true)] as [number, number, number];
  if (count === 0xffff || size === MAX32 || start === MAX32) {
    const locator = end - 20;
    if (locator < 0 || v.getUint32(locator, true) !== LOCATOR64) refuse(source.name, 'the zip64 end-of-directory locator is missing.');
    const recordStart = uint64(v, locator + 8);
    if (!(recordStart + 56 <= source.size)) refuse(source.name, 'the zip64 end-of-directory record lies beyond the file.');
    const record = view(await source.read(recordStart, recordStart + 56));
    if (record.getUint32(0, true) !== END64) refuse(source.name, 'the zip64 end-of-directory record is damaged.');
    [count, size, start] = [uint64(record, 32), uint64(record, 40), uint64(record, 48)];
  }
  if (!(start + size <= source.size) || count * 46 > size) refuse(source.name, `its directory (${count} entries, bytes ${start} to ${start + size}) does not fit the file of ${source.size} bytes.`);
  return { count, start, size };
}

/** First byte of a member's contents: behind its local header, whose extra field (torch pads it to align the values) has a length of its own. */
export async function zipDataStart(source: ByteSource, entry: ZipEntry): Promise<number> {
  const head = view(await source.read(entry.headerStart, entry.headerStart + 30));
  if (head.getUint32(0, true) !== LOCAL) refuse(source.name, `the header of ${entry.name} is damaged.`);
  const start = entry.headerStart + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  if (start + entry.size > source.size) refuse(source.name, `${entry.name} ends at byte ${start + entry.size}, the file has ${source.size}.`);
  return start;
}

/** A whole small member. */
export async function readZipEntry(source: ByteSource, entry: ZipEntry): Promise<Uint8Array> {
  const start = await zipDataStart(source, entry);
  return source.read(start, start + entry.size);
}
