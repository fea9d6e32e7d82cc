import { ConfigError, DataError } from '@bytelm/core';
import type { ByteStore } from '@bytelm/core/train';
import type { SubwordTokenizer } from '../alignment/subword-tokenizer.js';
import type { SubwordVocabulary } from '../alignment/vocabulary.js';
import { textPieces } from './text-pieces.js';

/** A tokenized text: ids in 2 bytes each, or 4 where the vocabulary is larger than 65536. */
export interface TokenStore {
  readonly ids: Uint16Array | Uint32Array;
  /** Tokens. */
  readonly size: number;
  /** Bytes of the text that they say; special tokens count none. */
  readonly bytes: number;
  /** Changes with the ids. Stored with a position to be resumed. */
  readonly fingerprint: string;
}

export type TextSource = string | Uint8Array | ByteStore;

export interface TokenizeOptions {
  /** Bytes of text that are tokenized at once; more only where a text has no place to be cut at. Default 65536. */
  pieceBytes?: number | undefined;
  /** Put the document end behind each source. Default: where the vocabulary has one. */
  endDocuments?: boolean | undefined;
  onProgress?: ((progress: { bytes: number; total: number; tokens: number }) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Tokenizes texts of any length in bounded memory: they are read in pieces, cut before a space between two letters, where the tokens of
 * byte-level BPE do not depend on what is beyond. Each piece is checked to say the same text byte for byte.
 *
 * @param sources One document each: text, UTF-8 bytes, or files (`openByteFiles` of core, whose ranges may cut a character in two: its rest is left out).
 * @throws DataError where the tokens do not say the text, or the bytes are not UTF-8.
 * @example
 * const tokens = await tokenizeText(await openByteFiles('books', { range: [0, 1_000_000] }), tokenizer);
 */
export async function tokenizeText(sources: TextSource | readonly TextSource[], tokenizer: SubwordTokenizer, options: TokenizeOptions = {}): Promise<TokenStore> {
  const { vocabulary } = tokenizer;
  const { pieceBytes = 65536, endDocuments = vocabulary.endId !== undefined, onProgress, signal } = options;
  if (!(Number.isInteger(pieceBytes) && pieceBytes >= 64)) throw new ConfigError(`[tokenizeText] pieceBytes: expected a whole number from 64, got ${pieceBytes}.`);
  if (endDocuments && vocabulary.endId === undefined) throw new ConfigError(`[tokenizeText] ${vocabulary.name} has no document-end token to put behind documents. Hint: endDocuments false, or name it with the option \`end\` of SubwordVocabulary.`);
  const documents = (Array.isArray(sources) ? sources : [sources]) as readonly TextSource[];
  const total = documents.reduce((n, d) => n + sizeOf(d), 0);
  const ids = new GrowingIds(vocabulary.size);
  let bytes = 0;
  for (const document of documents) {
    for await (const piece of textPieces(document, pieceBytes)) {
      signal?.throwIfAborted();
      const { tokenIds, symbols } = tokenizer.align(piece);
      ids.push(tokenIds);
      bytes += bytesOf(symbols);
      onProgress?.({ bytes, total, tokens: ids.size });
    }
    if (endDocuments) ids.push([vocabulary.endId!]);
  }
  if (!bytes) throw new DataError('[tokenizeText] expected text, got none.');
  return storeOf(ids.done(), bytes);
}

/** Ids that are there already. @param vocabulary To count the bytes they say; without it `bytes` is 0. */
export function tokensInMemory(ids: ArrayLike<number>, vocabulary?: SubwordVocabulary): TokenStore {
  const most = Array.from(ids).reduce((a, b) => Math.max(a, b), 0);
  const typed = most < 65536 ? Uint16Array.from(ids) : Uint32Array.from(ids);
  let bytes = 0;
  if (vocabulary) for (const id of typed) bytes += bytesOf(vocabulary.symbolsOf(id));
  return storeOf(typed, bytes);
}

const bytesOf = (symbols: Uint16Array): number => symbols.reduce((n, s) => n + (s < 256 ? 1 : 0), 0);

function storeOf(ids: Uint16Array | Uint32Array, bytes: number): TokenStore {
  let hash = 0x811c9dc5;
  for (const id of ids) hash = Math.imul(hash ^ id, 0x01000193);
  return { ids, size: ids.length, bytes, fingerprint: `${ids.length} tokens ${(hash >>> 0).toString(16)}` };
}

const sizeOf = (source: TextSource): number => (typeof source === 'string' ? source.length : source instanceof Uint8Array ? source.length : source.size);

/** A typed array that doubles when it is full. */
class GrowingIds {
  size = 0;
  private values: Uint16Array | Uint32Array;

  constructor(vocabSize: number) {
    this.values = vocabSize <= 65536 ? new Uint16Array(1024) : new Uint32Array(1024);
  }

  push(ids: ArrayLike<number>): void {
    if (this.size + ids.length > this.values.length) {
      const larger = new (this.values.constructor as Uint16ArrayConstructor)(Math.max(2 * this.values.length, this.size + ids.length));
      larger.set(this.values.subarray(0, this.size));
      this.values = larger;
    }
    this.values.set(ids, this.size);
    this.size += ids.length;
  }

  done(): Uint16Array | Uint32Array {
    return this.values.slice(0, this.size);
  }
}
