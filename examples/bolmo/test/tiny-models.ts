import { join } from 'node:path';
import { Rng, type BoundaryEmittingLM } from '@bytelm/core';
import { fixtureRoot } from '@bytelm/core/testing';
import { createBolmo, findSubwords, parseBolmoConfig, SuffixTrie, type BolmoConfig } from '../src/index.js';

export const TOY_TOKENIZER = join(fixtureRoot(), 'bolmo', 'toy_tokenizer');

/** Two layers, the first with a window of three patches. */
export const TINY: Readonly<Record<string, unknown>> = {
  model_type: 'bolmo',
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  intermediate_size: 48,
  layer_types: ['sliding_attention', 'full_attention'],
  sliding_window: 3,
  num_local_encoder_layers: 1,
  num_local_decoder_layers: 2,
  num_local_heads: 2,
  local_intermediate_size: 40,
  vocab_size: 520,
  subword_vocab_size: 340,
  rope_theta: 500_000,
  tokenizer_config: { original_identifier: TOY_TOKENIZER },
};

let trie: SuffixTrie | undefined;

/** With open input gates: closed ones, as models start, would hide what the mLSTM remembers. */
export async function tinyModel(config: BolmoConfig = parseBolmoConfig(TINY)): Promise<BoundaryEmittingLM> {
  trie ??= SuffixTrie.fromVocabulary(await findSubwords({ name: 'tiny', config, folder: undefined }));
  const rng = new Rng(7);
  const model = createBolmo(config, { trie, rng });
  for (const [name, v] of model.parameters()) {
    if (!/igate_preact\.bias|_embedding\.weight|lm_head/.test(name)) continue;
    const drawn = rng.fork(name).normal(v.shape, name.endsWith('.bias') ? 0.5 : 0.7);
    v.assign(drawn as never);
    drawn.dispose();
  }
  return model;
}

const TEXT = 'the flowerbed among flowers: Hello World! def add(a, b): the quick brown fox jumps over the lazy dog, and naïve cafés. ';

/** Ids of texts of these lengths, each from another place, a BOS in front. */
export function textIds(lengths: readonly number[]): Int32Array[] {
  const bytes = new TextEncoder().encode(TEXT);
  return lengths.map((n, b) => Int32Array.from({ length: n }, (_, t) => (t ? bytes[(t + 17 * b) % bytes.length]! + 4 : 1)));
}
