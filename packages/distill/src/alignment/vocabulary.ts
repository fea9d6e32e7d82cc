import { ConfigError, DataError } from '@bytelm/core';
import { bytesOfCharacters } from './byte-alphabet.js';
import { entriesOf, spellingOf, type Spelling, type TokenizerJson } from './tokenizer-json.js';

/** Symbols beyond the 256 bytes, in sequences that hold both. */
export const END_SYMBOL = 256;
export const PAD_SYMBOL = 257;

export interface SubwordVocabularyOptions {
  /** The file, for messages. Default 'tokenizer.json'. */
  name?: string;
  /** Content of the token that ends (and begins) documents: one symbol, not bytes. Default `<|endoftext|>`; `null`: there is none. */
  end?: string | null;
  /** Content of the padding token. Default `<|pad|>`; `null`: there is none. */
  pad?: string | null;
  /** Refuse vocabularies in which some byte is no entry of its own. Default true. */
  byteComplete?: boolean;
}

/**
 * What every token of a subword tokenizer stands for, in bytes. The document end and padding are symbols of their own (`END_SYMBOL`,
 * `PAD_SYMBOL`); any other added token is the bytes of what it literally says.
 */
export class SubwordVocabulary {
  readonly name: string;
  readonly spelling: Spelling;
  /** Largest id + 1. */
  readonly size: number;
  readonly endId: number | undefined;
  readonly padId: number | undefined;
  private readonly symbols: (Uint16Array | undefined)[];
  private readonly contents = new Map<number, string>();

  /** @throws ConfigError when entries cannot be turned into bytes, or a byte has no entry: it lists which. */
  constructor(json: TokenizerJson, { name = 'tokenizer.json', end = '<|endoftext|>', pad = '<|pad|>', byteComplete = true }: SubwordVocabularyOptions = {}) {
    this.name = name;
    this.spelling = spellingOf(json, name);
    this.symbols = [];
    const put = (id: number, symbols: Uint16Array): void => {
      if (!Number.isInteger(id) || id < 0) throw new ConfigError(`[SubwordVocabulary] ${name}: expected ids from 0, got ${id}.`);
      this.symbols[id] = symbols;
    };
    const added = json.added_tokens ?? [];
    const isAdded = new Set(added.map((t) => t.id));
    for (const [entry, id] of entriesOf(json.model)) if (!isAdded.has(id)) put(id, this.spell(entry));
    for (const { id, content } of added) {
      put(id, content === end ? Uint16Array.of(END_SYMBOL) : content === pad ? Uint16Array.of(PAD_SYMBOL) : utf8(content));
      this.contents.set(id, content);
    }
    const idOf = (content: string | null) => added.find((t) => t.content === content)?.id;
    this.endId = idOf(end);
    this.padId = idOf(pad);
    this.size = this.symbols.length;
    if (byteComplete) this.checkByteComplete();
  }

  /** Does the id stand for anything? Published models may have more embedding rows than tokens. */
  has(id: number): boolean {
    return this.symbols[id] !== undefined;
  }

  /**
   * Bytes (0..255) or the one special symbol of a token. Shared: do not change it.
   * @throws DataError for an id that the tokenizer does not have.
   */
  symbolsOf(id: number): Uint16Array {
    const symbols = this.symbols[id];
    if (!symbols) throw new DataError(`[SubwordVocabulary] ${this.name} has no token ${id} (it has ids below ${this.size}). Hint: is this the tokenizer of the model that made the ids?`);
    return symbols;
  }

  /** What an added token literally says; `undefined` for ordinary entries. */
  contentOf(id: number): string | undefined {
    return this.contents.get(id);
  }

  /**
   * A teacher's logits may have unused rows behind the tokenizer's (its matrix is padded), but never fewer.
   * @throws ConfigError
   */
  checkFits(vocabSize: number, model: string): void {
    if (vocabSize >= this.size) return;
    throw new ConfigError(`[SubwordVocabulary] ${model} gives logits for ${vocabSize} tokens, ${this.name} has ${this.size}. Hint: take the tokenizer that lies beside the model.`);
  }

  private spell(entry: string): Uint16Array {
    if (this.spelling === 'byte-fallback') {
      const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(entry);
      return byte ? Uint16Array.of(parseInt(byte[1]!, 16)) : utf8(entry.replaceAll('▁', ' '));
    }
    const bytes = bytesOfCharacters(entry);
    if (!bytes) throw new ConfigError(`[SubwordVocabulary] ${this.name}: entry ${JSON.stringify(entry)} is not written in the byte alphabet. Hint: is it a special token that is missing in added_tokens?`);
    return Uint16Array.from(bytes);
  }

  private checkByteComplete(): void {
    const seen = new Uint8Array(256);
    for (const s of this.symbols) if (s?.length === 1 && s[0]! < 256) seen[s[0]!] = 1;
    const missing = [...seen.keys()].filter((b) => !seen[b]);
    if (!missing.length) return;
    const list = missing.slice(0, 8).map((b) => `0x${b.toString(16).padStart(2, '0')}`);
    throw new ConfigError(
      `[SubwordVocabulary] ${this.name}: expected an entry for each of the 256 bytes, got none for ${missing.length} of them (${list.join(', ')}${missing.length > 8 ? ', …' : ''}). ` +
        'Hint: such a tokenizer cannot spell every text; train it with the whole byte alphabet (ByteLevel.alphabet()).',
    );
  }
}

const encoder = new TextEncoder();
const utf8 = (text: string): Uint16Array => Uint16Array.from(encoder.encode(text));
