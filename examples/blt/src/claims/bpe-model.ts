import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Embedding, LinearHead, SequenceLM, type Rng } from '@bytelm/core';
import type { ByteStore } from '@bytelm/core/train';
import { LatentTransformer } from '@bytelm/latent-transformer';

/** Reads text as the tokens of a `tokenizer.json`. */
export interface TokenReader {
  vocabSize: number;
  encode(text: string): Int32Array;
}

/** @param folder with `tokenizer.json` and `tokenizer_config.json`. */
export async function openTokens(folder: string): Promise<TokenReader> {
  const { Tokenizer } = await import('@huggingface/tokenizers');
  const read = (name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as { model?: { vocab: object } };
  const json = read('tokenizer.json');
  const tokenizer = new Tokenizer(json, read('tokenizer_config.json'));
  return { vocabSize: Object.keys(json.model!.vocab).length, encode: (text) => Int32Array.from(tokenizer.encode(text, { add_special_tokens: false }).ids) };
}

const WIDTH = 192;
const LAYERS = 5;
const HIDDEN = 512;

/** A transformer over tokens that costs about as much a byte as `blt-tiny` does with its entropy model. */
export function bpeModel(vocabSize: number, rng: Rng): SequenceLM {
  const init = { vocabSize, dModel: WIDTH, initStd: WIDTH ** -0.5, initCut: 3 };
  return new SequenceLM({
    embed: new Embedding(init, rng.fork('embed')),
    backbone: new LatentTransformer({ dModel: WIDTH, numLayers: LAYERS, numHeads: 3, dIntermediate: HIDDEN, theta: 500_000, initStdFactor: 'disabled' }, rng.fork('backbone')),
    head: new LinearHead(init, rng.fork('head')),
  });
}

/** Forward FLOPs per byte: true matmul sizes, 2 per multiply-add. */
export function bpeFlopsPerByte(vocabSize: number, bytesPerToken: number, tokens: number): number {
  const layer = 8 * WIDTH * WIDTH + 6 * WIDTH * HIDDEN + (4 * WIDTH * (tokens + 1)) / 2;
  return (LAYERS * layer + 2 * vocabSize * WIDTH) / bytesPerToken;
}

/** Tokens as a store of ids. */
export function tokenStore(tokens: Int32Array): ByteStore {
  return {
    size: tokens.length,
    fingerprint: `${tokens.length} tokens`,
    read: async (start, count, out, at) => out.set(tokens.subarray(start, start + count), at),
    close: async () => {},
  };
}
