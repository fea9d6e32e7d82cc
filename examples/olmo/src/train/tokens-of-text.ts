import type { SubwordTokenizer } from '@bytelm/distill';
import { decodeText } from './decode-text.js';

/** Characters of a piece: tokenizers get slow on long texts. */
const PIECE = 65_536;

/**
 * The tokens of a text, checked byte for byte. It is cut in front of words where a space stands alone, which is where byte-level
 * tokenizers begin a token anyway: the tokens are those of the whole.
 * @param bytes UTF-8; characters that are cut off at either end (of a byte range) are left out.
 * @param name For messages.
 * @throws DataError for bytes that are not UTF-8, and when tokens do not say what the text says.
 */
export function tokensOfText(bytes: Uint8Array, tokenizer: SubwordTokenizer, name: string, onProgress?: (characters: number, total: number) => void): Int32Array {
  const text = decodeText(bytes, name);
  const pieces: Int32Array[] = [];
  for (let start = 0, end: number; start < text.length; start = end) {
    for (end = Math.min(start + PIECE, text.length); end < text.length && !isCut(text, end); ) end++;
    pieces.push(tokenizer.align(text.slice(start, end)).tokenIds);
    onProgress?.(end, text.length);
  }
  const out = new Int32Array(pieces.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

const isCut = (text: string, at: number): boolean => text[at] === ' ' && /\S/.test(text[at - 1]!) && /[a-zA-Z]/.test(text[at + 1] ?? '');
