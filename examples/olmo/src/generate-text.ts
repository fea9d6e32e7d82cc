import { generate, Rng, Utf8StreamDecoder, type SamplingOptions } from '@bytelm/core';
import type { SubwordTokenizer } from '@bytelm/distill';
import { startToken } from './source.js';
import type { SourceConfig } from './config.js';
import type { SourceLM } from './model.js';

export interface GenerateTextOptions extends SamplingOptions {
  maxTokens: number;
  seed?: number;
  signal?: AbortSignal | undefined;
}

export interface GeneratedToken {
  id: number;
  /** The text that is certain now: never half a character. */
  text: string;
}

/** Continues a text token by token, with cached keys and values. @throws DataError, NumericError as `generate`. */
export async function* generateText(model: SourceLM, tokenizer: SubwordTokenizer, config: SourceConfig, prompt: string, options: GenerateTextOptions): AsyncGenerator<GeneratedToken> {
  const { maxTokens, seed = 0, ...rest } = options;
  const ids = Int32Array.of(startToken(config, tokenizer), ...tokenizer.encode(prompt));
  const ends = new Set([...config.eos, tokenizer.vocabulary.endId]);
  const decoder = new Utf8StreamDecoder();
  for await (const event of generate(model, [ids], { ...rest, maxBytes: maxTokens, eos: null, rng: new Rng(seed) })) {
    if (event.type !== 'byte') continue;
    if (ends.has(event.id)) break;
    // A model may have more rows than its tokenizer has tokens; those say nothing.
    const bytes = tokenizer.vocabulary.has(event.id) ? tokenizer.toBytes([event.id]) : new Uint8Array(0);
    yield { id: event.id, text: decoder.push(bytes) };
  }
  const left = decoder.flush();
  if (left) yield { id: -1, text: left };
}
