import { ConfigError, type Chunker, type Rng } from '@bytelm/core';
import { EntropyModel } from '@bytelm/latent-transformer';
import { DelimiterPatcher, EntropyPatcher, SpacePatcher, StridedPatcher } from '@bytelm/patching';
import type { BLTConfig } from './config/index.js';

export interface PatcherOptions {
  /** For patches by entropies. Default: a new one of `config.entropyModel`. */
  entropyModel?: EntropyModel | undefined;
  /** Initial weights of that one; without it they are zero. */
  rng?: Rng | undefined;
  /** Round the patch axis up to a multiple of this. Default 1. */
  padTo?: number | undefined;
}

/** What `config.patching` asks for. @throws ConfigError */
export function createPatcher(config: BLTConfig, { entropyModel, rng, padTo }: PatcherOptions = {}): Chunker {
  const { patching, eosId, vocabSize } = config;
  const { mode, threshold, addThreshold, monotonic, maxPatchLength, patchSize } = patching;
  const shared = { vocabulary: 'blt' as const, maxChunkLength: maxPatchLength, documentEnds: [eosId], padTo };
  switch (mode) {
    case 'entropy': {
      if (!entropyModel && !config.entropyModel) {
        throw new ConfigError("[createPatcher] patches by entropies need an entropy model, the configuration has none. Hint: give one, or patching.mode 'space'.");
      }
      const model = entropyModel ?? new EntropyModel({ ...config.entropyModel!, vocabSize, documentEnds: [eosId] }, rng);
      return new EntropyPatcher({ ...shared, model, threshold, monotonic, addThreshold });
    }
    case 'space':
      return new SpacePatcher(shared);
    case 'static':
      return new StridedPatcher({ ...shared, stride: patchSize });
    case 'byte':
      return new StridedPatcher({ ...shared, stride: 1 });
    case 'bpe':
      return new DelimiterPatcher(shared);
  }
}
