import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DataError } from '@bytelm/core';

/** Verse, for a model that has read prose. */
export const VERSE = fileURLToPath(new URL('../../../data/verse.txt', import.meta.url));

/** Bytes of a row while fine-tuning, and fewer are no text to learn from. */
export const ROW = 256;
const LEAST = 8 * ROW;
const HELD_OUT_MOST = 4096;

export interface Sample {
  name: string;
  train: Uint8Array;
  /** The end of the text, not trained on. */
  heldOut: Uint8Array;
  /** First words of the held-out part, to be continued. */
  prompt: string;
}

/** Splits a text into what is trained on and a held-out end of a tenth, at most 4 KiB, that starts at a line. */
export function readSample(path: string, name: string): Sample {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (e) {
    throw new DataError(`[demo] ${path}: it cannot be read (${(e as Error).message}). Hint: --text names a file of text.`, { cause: e });
  }
  if (bytes.length < LEAST) throw new DataError(`[demo] ${path}: expected a text of at least ${LEAST} bytes, got ${bytes.length}. Hint: a longer one; a few pages are enough.`);
  const cut = startOfLine(bytes, bytes.length - Math.min(HELD_OUT_MOST, Math.floor(bytes.length / 10)));
  const heldOut = bytes.subarray(cut);
  return { name, train: bytes.subarray(0, cut), heldOut, prompt: firstWords(heldOut) };
}

/** The start of the next line, or without one nearby of the next character. */
function startOfLine(bytes: Uint8Array, from: number): number {
  const line = bytes.indexOf(10, from) + 1;
  if (line > 0 && line < from + ROW && line < bytes.length - ROW / 2) return line;
  let at = from;
  while ((bytes[at]! & 0xc0) === 0x80) at++;
  return at;
}

/** Some 40 characters without the word that the cut goes through. */
function firstWords(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes.subarray(0, 160)).replace(/\uFFFD+$/, '').trimStart();
  const cut = Array.from(text).slice(0, 40).join('');
  const end = Math.max(cut.lastIndexOf(' '), cut.lastIndexOf('\n'));
  return end > 10 ? cut.slice(0, end + 1) : cut;
}
