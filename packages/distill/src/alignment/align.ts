import { DataError } from '@bytelm/core';
import { END_SYMBOL, PAD_SYMBOL, type SubwordVocabulary } from './vocabulary.js';

/** Which bytes each token of a sequence covers. Symbols are bytes 0..255, `END_SYMBOL` or `PAD_SYMBOL`. */
export interface ByteAlignment {
  /** (T) */
  tokenIds: Int32Array;
  /** (n) the symbols of all tokens, one behind another. */
  symbols: Uint16Array;
  /** (T) where each token starts in `symbols`, */
  starts: Int32Array;
  /** (T) and where it ends, exclusively. */
  ends: Int32Array;
  /** (n) 1 at the last symbol of every token. */
  boundaryMask: Uint8Array;
}

/**
 * The byte spans of subword tokens.
 * @throws DataError for an id that the vocabulary lacks, and for a token without bytes.
 * @example
 * const { ends } = alignTokensToBytes(tokenizer.encode('the flowerbed'), tokenizer.vocabulary);
 */
export function alignTokensToBytes(tokenIds: ArrayLike<number>, vocabulary: SubwordVocabulary): ByteAlignment {
  const T = tokenIds.length;
  const starts = new Int32Array(T);
  const ends = new Int32Array(T);
  let n = 0;
  for (let i = 0; i < T; i++) {
    const { length } = vocabulary.symbolsOf(tokenIds[i]!);
    if (!length) throw new DataError(`[alignTokensToBytes] token ${tokenIds[i]} at ${i} has no bytes in ${vocabulary.name}: it cannot be a patch.`);
    starts[i] = n;
    ends[i] = n += length;
  }
  const symbols = new Uint16Array(n);
  const boundaryMask = new Uint8Array(n);
  for (let i = 0; i < T; i++) {
    symbols.set(vocabulary.symbolsOf(tokenIds[i]!), starts[i]);
    boundaryMask[ends[i]! - 1] = 1;
  }
  return { tokenIds: Int32Array.from(tokenIds), symbols, starts, ends, boundaryMask };
}

/** What symbols say as bytes, special ones spelled out as their tokens are. */
export function symbolsToBytes(symbols: ArrayLike<number>, vocabulary: SubwordVocabulary): Uint8Array {
  const out: number[] = [];
  const special = (id: number | undefined) => new TextEncoder().encode(id === undefined ? '' : vocabulary.contentOf(id));
  for (let i = 0; i < symbols.length; i++) {
    const s = symbols[i]!;
    if (s === END_SYMBOL) out.push(...special(vocabulary.endId));
    else if (s === PAD_SYMBOL) out.push(...special(vocabulary.padId));
    else out.push(s);
  }
  return Uint8Array.from(out);
}

/**
 * Checks that tokens say exactly what the text says, byte for byte. They do not where a tokenizer normalizes (Unicode forms, case,
 * spaces) or drops what it does not know: a byte model trained on such rows would learn another text than it is scored on.
 * @throws DataError naming the first byte that differs.
 */
export function checkRoundTrip(text: string, alignment: ByteAlignment, vocabulary: SubwordVocabulary): void {
  const expected = new TextEncoder().encode(text);
  const got = symbolsToBytes(alignment.symbols, vocabulary);
  let at = 0;
  while (at < expected.length && at < got.length && expected[at] === got[at]) at++;
  if (at === expected.length && at === got.length) return;
  const around = (bytes: Uint8Array) => JSON.stringify(new TextDecoder().decode(bytes.subarray(Math.max(0, at - 8), at + 12)));
  throw new DataError(
    `[checkRoundTrip] ${vocabulary.name}: the tokens do not say what the text says, from byte ${at} on: text ${around(expected)} (${expected.length} bytes), tokens ${around(got)} (${got.length} bytes). ` +
      'Hint: its normalizer or decoder changes text; normalize the data the same way first, or take a tokenizer without one.',
  );
}
