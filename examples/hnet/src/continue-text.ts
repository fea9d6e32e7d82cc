import { ByteTokenizer, generate, Rng, type SequenceLM } from '@bytelm/core';
import { breathe } from './cli/stop-signal.js';
import { TextWriter, type TextWriterOptions } from './text-writer.js';

export interface ContinueOptions {
  maxBytes: number;
  temperature?: number;
  topP?: number;
  seed: number;
  signal?: AbortSignal | undefined;
}

/** The continuation of one text, handed to `write` piece by piece as it is made. */
export async function continueText(model: SequenceLM, prompt: string | Uint8Array, options: ContinueOptions, write: TextWriterOptions['write']): Promise<string> {
  const { seed, ...rest } = options;
  let text = '';
  const writer = new TextWriter({
    write: (piece) => {
      text += piece;
      write(piece);
    },
    escape: true,
  });
  for await (const event of generate(model, [new ByteTokenizer('hnet').encode(prompt)], { ...rest, rng: new Rng(seed) })) {
    if (event.type === 'byte') {
      writer.push(event.id, 0);
      await breathe();
    }
  }
  writer.end();
  return text;
}
