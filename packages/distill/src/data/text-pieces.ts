import { DataError } from '@bytelm/core';
import type { ByteStore } from '@bytelm/core/train';
import type { TextSource } from './token-store.js';

/**
 * A text in pieces of about `pieceBytes` bytes that put together are the text again. They begin before a space between two letters; where a
 * piece has none, before a line, and where it has none of these either, between any two characters.
 */
export async function* textPieces(source: TextSource, pieceBytes: number): AsyncGenerator<string, void, undefined> {
  let left = '';
  for await (const text of decoded(source, pieceBytes)) {
    left += text;
    while (left.length >= pieceBytes) {
      const at = cutPlace(left, pieceBytes);
      yield left.slice(0, at);
      left = left.slice(at);
    }
  }
  if (left) yield left;
}

/** The last good place to cut at before `limit`. */
function cutPlace(text: string, limit: number): number {
  for (const isGood of [betweenWords, atLine]) for (let i = limit - 2; i > limit / 2; i--) if (isGood(text, i)) return i;
  // Never between the halves of a surrogate pair.
  return isLowSurrogate(text.charCodeAt(limit - 1)) ? limit - 2 : limit - 1;
}

const LETTER = /\p{L}/u;
const betweenWords = (text: string, i: number): boolean => text[i] === ' ' && LETTER.test(text[i - 1]!) && LETTER.test(text[i + 1]!);
const atLine = (text: string, i: number): boolean => text[i - 1] === '\n' && !/\s/.test(text[i]!) && !isLowSurrogate(text.charCodeAt(i));
const isLowSurrogate = (code: number): boolean => code >= 0xdc00 && code <= 0xdfff;

async function* decoded(source: TextSource, pieceBytes: number): AsyncGenerator<string, void, undefined> {
  if (typeof source === 'string') {
    // Lone surrogates are no text; what UTF-8 makes of them is what tokens can say.
    if (!isWellFormed(source)) throw new DataError('[tokenizeText] the text has half of a surrogate pair, which UTF-8 cannot hold. Hint: text.toWellFormed().');
    yield source;
    return;
  }
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let at = 0;
  for await (let bytes of byteBlocks(source, pieceBytes)) {
    // A range may begin within a character.
    if (at === 0) bytes = bytes.subarray(leadingContinuations(bytes));
    try {
      yield decoder.decode(bytes, { stream: true });
    } catch (cause) {
      throw new DataError(`[tokenizeText] bytes ${at} to ${at + bytes.length} of the text are not UTF-8. Hint: convert the file, or leave it out.`, { cause });
    }
    at += bytes.length;
  }
}

async function* byteBlocks(source: Uint8Array | ByteStore, size: number): AsyncGenerator<Uint8Array, void, undefined> {
  if (source instanceof Uint8Array) {
    for (let at = 0; at < source.length; at += size) yield source.subarray(at, at + size);
    return;
  }
  const block = new Int32Array(size);
  for (let at = 0; at < source.size; at += size) {
    const count = Math.min(size, source.size - at);
    await source.read(at, count, block, 0);
    yield Uint8Array.from(block.subarray(0, count));
  }
}

function leadingContinuations(bytes: Uint8Array): number {
  let n = 0;
  while (n < 3 && n < bytes.length && (bytes[n]! & 0xc0) === 0x80) n++;
  return n;
}

/** `String.prototype.isWellFormed`, which not all supported runtimes have typed. */
const isWellFormed = (text: string): boolean => !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);
