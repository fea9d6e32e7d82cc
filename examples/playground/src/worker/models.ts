import { BYTE_VOCABULARIES, type ByteVocabulary, type SequenceLM } from '@bytelm/core';
import { loadParameters, openSafetensors } from '@bytelm/core/io';
import { BOLMO_VOCABULARY, SubwordVocabulary, type TokenizerJson } from '@bytelm/distill';
import { loadBLT } from '../../../blt/src/checkpoint/load.js';
import { parseBLTConfig, parseEntropyConfig } from '../../../blt/src/config/index.js';
import { parseBolmoConfig } from '../../../bolmo/src/config.js';
import { createBolmo } from '../../../bolmo/src/model.js';
import { SuffixTrie } from '../../../bolmo/src/parts/suffix-trie.js';
import { resolveHNetConfig } from '../../../hnet/src/config.js';
import { createHNet } from '../../../hnet/src/model.js';
import type { ShippedName } from '../messages.js';
import { fetchBytes, fetchJson } from './files.js';
import { once } from './once.js';

export interface ShippedModel {
  model: SequenceLM;
  vocabulary: ByteVocabulary;
  title: string;
}

/** A shipped model with its weights, loaded once. */
export const shippedModel = (name: ShippedName): Promise<ShippedModel> => MODELS[name]();

const weightsOf = async (path: string) => openSafetensors(await fetchBytes(path));

const MODELS: Record<ShippedName, () => Promise<ShippedModel>> = {
  hnet: once(async () => {
    const model = createHNet(resolveHNetConfig(await fetchJson('models/hnet/config.json')), { padChunksTo: 16 });
    await loadParameters(model, await weightsOf('models/hnet/model.safetensors'));
    return { model, vocabulary: BYTE_VOCABULARIES.hnet, title: 'H-Net: learned routing' };
  }),
  blt: once(async () => {
    const params = await fetchJson<object>('models/blt/entropy_model/params.json');
    const parsed = parseBLTConfig(await fetchJson('models/blt/config.json'), params);
    const config = { ...parsed.config, entropyModel: parsed.config.entropyModel ?? parseEntropyConfig(params).config };
    const weights = (path: string) => ({ label: path, local: false, open: () => weightsOf(path) });
    const model = await loadBLT(
      { name: 'tiny', config, parsed: { ...parsed, config }, weights: weights('models/blt/model.safetensors'), entropyWeights: weights('models/blt/entropy_model/model.safetensors') },
      { padPatchesTo: 16 },
    );
    return { model, vocabulary: BYTE_VOCABULARIES.blt, title: 'BLT: entropy of the next byte' };
  }),
  bolmo: once(async () => {
    const config = parseBolmoConfig(await fetchJson('models/bolmo/config.json'));
    const settings = await fetchJson<{ eos_token?: string; pad_token?: string }>('models/bolmo/tokenizer_config.json');
    const subwords = new SubwordVocabulary(await fetchJson<TokenizerJson>('models/bolmo/tokenizer.json'), { end: settings.eos_token, pad: settings.pad_token });
    const model = createBolmo(config, { trie: SuffixTrie.fromVocabulary(subwords), padPatchesTo: 16 });
    await loadParameters(model, await weightsOf('models/bolmo/model.safetensors'));
    const { offset, bos, eos, numIds } = BOLMO_VOCABULARY;
    return { model, vocabulary: { offset, bos, eos, vocabSize: numIds }, title: 'Bolmo: where its subword teacher would cut' };
  }),
};
