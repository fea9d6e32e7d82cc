/** Helpers for tests of the command line. */
import { testCli, writeJson } from '@bytelm/example-shared/testing';
import { writeBLTConfig, writeEntropyConfig, type BLTConfig, type EntropyModelConfig } from '../config/index.js';
import { BLT_PRESETS } from '../presets.js';
import { runCli } from '../run-cli.js';

export { REPOSITORY, runsFolder, TEXT, writeJson } from '@bytelm/example-shared/testing';
export const { spawnCli, callCli, ok, fails } = testCli('blt', runCli);

const layer = { numKvHeads: 2, dIntermediate: 48, numHeads: 2, normEps: 1e-5, numLayers: 1 };

export const SMALL_ENTROPY: EntropyModelConfig = { ...layer, dModel: 16, theta: 10_000, window: 32, vocabSize: 260, maxPositions: 128 };

/** One layer of everything: trains in milliseconds. */
export const SMALL: BLTConfig = {
  ...BLT_PRESETS['blt-tiny']!.config,
  encoder: { ...layer, dModel: 16, theta: 500_000, window: 32 },
  global: { ...layer, dIntermediate: 96, dModel: 32, theta: 500_000, window: null },
  decoder: { ...layer, dModel: 16, theta: 500_000, window: 32 },
  crossAttention: { queriesPerChunk: 2, encoderHeads: 2, decoderHeads: 2, encoderLayers: 'last', decoderLayers: 'all', encoderWindow: null, decoderWindow: null },
  hash: { sizes: [3, 4], vocabularySize: 50, numFunctions: 1 },
  entropyModel: SMALL_ENTROPY,
};

/** The small configurations as files. */
export function writeConfigs(folder: string): { blt: string; entropy: string } {
  // The original has one rule for all widths of MLPs, transformers says each.
  return {
    blt: writeJson(folder, 'blt.json', writeBLTConfig(SMALL, 'transformers').config),
    entropy: writeJson(folder, 'entropy.json', writeEntropyConfig(SMALL_ENTROPY, 'transformers')),
  };
}

