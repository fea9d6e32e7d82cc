import { ConfigError } from '@bytelm/core';

/** The parts of a Hugging Face `tokenizer.json` that say which bytes a token stands for. */
export interface TokenizerJson {
  model: { type?: string; vocab: Readonly<Record<string, number>> | readonly (readonly [string, number])[]; byte_fallback?: boolean };
  added_tokens?: readonly AddedTokenJson[] | null;
  normalizer?: unknown;
  pre_tokenizer?: unknown;
  decoder?: unknown;
}

export interface AddedTokenJson {
  id: number;
  content: string;
  special?: boolean;
}

/**
 * How entries spell bytes: `byte-level` in the printable alphabet of GPT-2, `byte-fallback` as UTF-8 with `▁` for a space and `<0xNN>` for
 * bytes that no entry covers.
 */
export type Spelling = 'byte-level' | 'byte-fallback';

/** @throws ConfigError when the file is no tokenizer.json, or its entries cannot be turned into bytes. */
export function spellingOf(json: TokenizerJson, name: string): Spelling {
  if (!json?.model?.vocab) throw new ConfigError(`[SubwordVocabulary] ${name}: expected a tokenizer.json with model.vocab, got ${describe(json)}. Hint: give the parsed tokenizer.json itself.`);
  if (mentions(json.decoder, 'ByteLevel') || mentions(json.pre_tokenizer, 'ByteLevel')) return 'byte-level';
  if (json.model.byte_fallback || mentions(json.decoder, 'ByteFallback')) return 'byte-fallback';
  throw new ConfigError(
    `[SubwordVocabulary] ${name}: expected a tokenizer whose tokens are bytes (a ByteLevel decoder, or byte_fallback), got model ${json.model.type ?? '?'} without either. ` +
      'Hint: WordPiece and word vocabularies have an unknown token; a model with one cannot be byteified.',
  );
}

export function entriesOf({ vocab }: TokenizerJson['model']): Iterable<readonly [string, number]> {
  // Unigram models list [piece, score]; the id is the place.
  return Array.isArray(vocab) ? (vocab as readonly (readonly [string, number])[]).map(([piece], id) => [piece, id] as const) : Object.entries(vocab as Record<string, number>);
}

/** Does this part, or one of a sequence of parts, have that type? */
function mentions(part: unknown, type: string): boolean {
  if (Array.isArray(part)) return part.some((p) => mentions(p, type));
  if (typeof part !== 'object' || part === null) return false;
  return Object.entries(part).some(([key, value]) => (key === 'type' ? value === type : mentions(value, type)));
}

const describe = (v: unknown): string => (typeof v === 'object' && v !== null ? `an object with ${Object.keys(v).slice(0, 5).join(', ') || 'no keys'}` : typeof v);
