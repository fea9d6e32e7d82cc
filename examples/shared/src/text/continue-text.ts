import { ByteTokenizer, generate, Rng, type ByteLM, type ByteVocabulary } from '@bytelm/core';
import { breathe } from '../cli/stop-signal.js';
import { TextWriter, type TextWriterOptions } from './text-writer.js';

export interface ContinueOptions {
  /** How the model numbers bytes. */
  vocabulary: ByteVocabulary;
  maxBytes: number;
  temperature?: number;
  topP?: number;
  seed: number;
  signal?: AbortSignal | undefined;
}

/** The continuation of one text, handed to `write` piece by piece as it is made. */
export async function continueText(model: ByteLM, prompt: string | Uint8Array, options: ContinueOptions, write: TextWriterOptions['write']): Promise<string> {
  const { seed, vocabulary, ...rest } = options;
  let text = '';
  const writer = new TextWriter({
    write: (piece) => {
      text += piece;
      write(piece);
    },
    escape: true,
  });
  for await (const event of generate(model, [new ByteTokenizer(vocabulary).encode(prompt)], { ...rest, eos: vocabulary.eos, rng: new Rng(seed) })) {
    if (event.type === 'byte' && event.id >= vocabulary.offset) {
      writer.push(event.id - vocabulary.offset, 0);
      await breathe();
    }
  }
  writer.end();
  return text;
}
