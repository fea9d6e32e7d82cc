import { DataError } from '@bytelm/core';

/**
 * Text of a range of bytes. Characters that are cut off at either end of the range are left out.
 * @param name For messages.
 * @throws DataError for bytes that are not UTF-8.
 */
export function decodeText(bytes: Uint8Array, name: string): string {
  let start = 0;
  while (start < Math.min(3, bytes.length) && continues(bytes[start]!)) start++;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(start, wholeEnd(bytes)));
  } catch (cause) {
    throw new DataError(`[decodeText] ${name}: expected UTF-8, got other bytes. Hint: subword tokenizers read text; convert the file to UTF-8.`, { cause });
  }
}

/** Is the byte inside a character? */
const continues = (byte: number): boolean => (byte & 0xc0) === 0x80;

/** Where the last whole character ends: the first byte of a character says how long it is. */
function wholeEnd(bytes: Uint8Array): number {
  let first = bytes.length - 1;
  while (first > 0 && bytes.length - first < 4 && continues(bytes[first]!)) first--;
  const byte = bytes[first] ?? 0;
  const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
  return first + length > bytes.length ? first : bytes.length;
}
