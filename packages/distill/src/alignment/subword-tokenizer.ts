import { CheckpointError, ConfigError } from '@bytelm/core';
import { alignTokensToBytes, checkRoundTrip, symbolsToBytes, type ByteAlignment } from './align.js';
import type { TokenizerJson } from './tokenizer-json.js';
import { SubwordVocabulary, type SubwordVocabularyOptions } from './vocabulary.js';

/** What is needed of a `Tokenizer` of `@huggingface/tokenizers`. */
export interface TextEncoderLike {
  encode(text: string, options?: { add_special_tokens?: boolean }): { ids: number[] };
}

/** Options of `tokenizer_config.json` that matter here. */
interface TokenizerConfigJson {
  eos_token?: string | { content: string } | null;
  pad_token?: string | { content: string } | null;
}

/**
 * A subword tokenizer that knows the bytes of its tokens. Text is cut by `@huggingface/tokenizers` (an optional peer dependency), whatever
 * the `tokenizer.json`; ids become bytes by the vocabulary itself.
 * @example
 * const tokenizer = await SubwordTokenizer.fromFolder('allenai/OLMo-2-0425-1B');
 * const { boundaryMask } = tokenizer.align('the flowerbed among flowers');
 */
export class SubwordTokenizer {
  constructor(
    readonly encoder: TextEncoderLike,
    readonly vocabulary: SubwordVocabulary,
    /** SHA-256 of the files that it was made of, where they and the algorithm were at hand: what it cut once it would cut the same again. */
    readonly fingerprint?: string | undefined,
  ) {}

  /**
   * From the parsed `tokenizer.json` and `tokenizer_config.json`. The document end and padding are those the configuration names.
   * @throws ConfigError when the optional package is missing or tokens are no bytes.
   */
  static async fromJson(json: TokenizerJson, config: object = {}, options: SubwordVocabularyOptions = {}): Promise<SubwordTokenizer> {
    const { eos_token, pad_token } = config as TokenizerConfigJson;
    const vocabulary = new SubwordVocabulary(json, { end: contentOf(eos_token), pad: contentOf(pad_token), ...options });
    const { Tokenizer } = await import('@huggingface/tokenizers').catch((cause: unknown) => {
      throw new ConfigError(`[SubwordTokenizer] the package @huggingface/tokenizers is needed to cut text into tokens (${(cause as Error).message}). Hint: npm install @huggingface/tokenizers.`);
    });
    return new SubwordTokenizer(new Tokenizer(json, config), vocabulary, await sha256(JSON.stringify([json, config])));
  }

  /** From a folder with `tokenizer.json` and, if there is one, `tokenizer_config.json`. Node only. @throws CheckpointError, ConfigError */
  static async fromFolder(folder: string, options: SubwordVocabularyOptions = {}): Promise<SubwordTokenizer> {
    const { readFile } = await import('node:fs/promises');
    const { join } = await import('node:path');
    const file = join(folder, 'tokenizer.json');
    const json = parse(file, await readFile(file, 'utf8').catch((cause: Error) => {
      throw new CheckpointError(`[SubwordTokenizer] ${file}: cannot be read (${cause.message}). Hint: a folder with a tokenizer.json is expected.`, { cause });
    }));
    const configFile = join(folder, 'tokenizer_config.json');
    const config = await readFile(configFile, 'utf8').then((text) => parse(configFile, text), () => ({}));
    return SubwordTokenizer.fromJson(json as TokenizerJson, config, { name: file, ...options });
  }

  /** Ids of the text alone: no special token is added, but those spelled in the text count. */
  encode(text: string): Int32Array {
    return Int32Array.from(this.encoder.encode(text, { add_special_tokens: false }).ids);
  }

  /** The text's tokens and their bytes. @throws DataError when the tokens do not say what the text says. */
  align(text: string): ByteAlignment {
    const alignment = alignTokensToBytes(this.encode(text), this.vocabulary);
    checkRoundTrip(text, alignment, this.vocabulary);
    return alignment;
  }

  /** Bytes of the tokens, special ones spelled out. */
  toBytes(tokenIds: ArrayLike<number>): Uint8Array {
    return symbolsToBytes(alignTokensToBytes(tokenIds, this.vocabulary).symbols, this.vocabulary);
  }

  /** Text of the tokens; bytes that are not UTF-8 become U+FFFD. */
  decode(tokenIds: ArrayLike<number>): string {
    return new TextDecoder().decode(this.toBytes(tokenIds));
  }
}

/** `undefined` where the platform has no such digest (pages without https). */
async function sha256(text: string): Promise<string | undefined> {
  const digest = await globalThis.crypto?.subtle?.digest('SHA-256', new TextEncoder().encode(text));
  return digest && Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, '0')).join('');
}

function contentOf(token: TokenizerConfigJson['eos_token']): string | null | undefined {
  return typeof token === 'object' && token ? token.content : (token ?? undefined);
}

function parse(file: string, text: string): object {
  try {
    return JSON.parse(text) as object;
  } catch (cause) {
    throw new CheckpointError(`[SubwordTokenizer] ${file}: it is not JSON (${(cause as Error).message}). Hint: download it again.`, { cause });
  }
}
