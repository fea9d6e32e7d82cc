import { DEFAULT_PATCHING, type BLTConfig, type EntropyModelConfig, type StackConfig } from './config/index.js';

/** A configuration under a name. */
export interface BLTPreset {
  config: BLTConfig;
  /** Hugging Face repository with published weights. */
  repo?: string;
  description: string;
}

export interface EntropyModelPreset {
  config: EntropyModelConfig;
  repo?: string;
  description: string;
}

const stack = (numLayers: number, dModel: number, numHeads: number, dIntermediate: number, rest: Partial<StackConfig> = {}): StackConfig => ({
  dModel,
  numLayers,
  numHeads,
  numKvHeads: numHeads,
  dIntermediate,
  theta: 500_000,
  normEps: 1e-5,
  window: 512,
  ...rest,
});

const entropy = (numLayers: number, dModel: number, numHeads: number, dIntermediate: number, rest: Partial<EntropyModelConfig> = {}): EntropyModelConfig => ({
  ...stack(numLayers, dModel, numHeads, dIntermediate, { theta: 10_000 }),
  vocabSize: 260,
  maxPositions: 8192,
  ...rest,
});

interface Sizes {
  encoder: StackConfig;
  global: StackConfig;
  decoder: StackConfig;
  queriesPerChunk: number;
  hashVocabulary: number;
  /** Default: those of the published models. */
  hashSizes?: number[];
  entropyModel: EntropyModelConfig;
}

const blt = ({ encoder, global, decoder, queriesPerChunk, hashVocabulary, hashSizes = [3, 4, 5, 6, 7, 8], entropyModel }: Sizes): BLTConfig => ({
  vocabSize: 260,
  eosId: 2,
  encoder,
  global: { ...global, window: null },
  decoder,
  crossAttention: { queriesPerChunk, encoderHeads: encoder.numHeads, decoderHeads: decoder.numHeads, encoderLayers: 'last', decoderLayers: 'all', encoderWindow: null, decoderWindow: null },
  hash: { sizes: hashSizes, vocabularySize: hashVocabulary, numFunctions: 1 },
  patching: { ...DEFAULT_PATCHING },
  entropyModel,
  maxBytes: 24_576,
  maxPatches: 4096,
  initStdFactor: 'disabled',
});

const PUBLISHED_ENTROPY = entropy(14, 768, 12, 2048);

/** Entropy models, by name. */
export const ENTROPY_PRESETS: Readonly<Record<string, EntropyModelPreset>> = {
  'blt-entropy': { config: PUBLISHED_ENTROPY, repo: 'facebook/blt-entropy', description: 'published, 99 M parameters' },
  'entropy-tiny': { config: entropy(2, 96, 2, 256), description: '0.3 M parameters: trains on a laptop core, patches for blt-tiny' },
  'entropy-500K': { config: entropy(2, 128, 2, 384), description: '0.5 M parameters, patches for blt-10M' },
  'entropy-1M': { config: entropy(2, 192, 3, 512), description: '1 M parameters, patches for blt-40M' },
};

const preset = (name: string) => ENTROPY_PRESETS[name]!.config;

/** Models, by name. */
export const BLT_PRESETS: Readonly<Record<string, BLTPreset>> = {
  'blt-1b': {
    config: blt({ encoder: stack(1, 1024, 16, 2816), global: stack(25, 2048, 16, 5632), decoder: stack(9, 1024, 16, 2816), queriesPerChunk: 2, hashVocabulary: 500_002, entropyModel: PUBLISHED_ENTROPY }),
    repo: 'facebook/blt-1b',
    description: 'published, 4.5 B parameters, 3.1 B of them hash n-grams',
  },
  'blt-7b': {
    config: blt({ encoder: stack(1, 1280, 20, 3584), global: stack(32, 4096, 32, 11008), decoder: stack(6, 1280, 20, 3584), queriesPerChunk: 4, hashVocabulary: 500_002, entropyModel: PUBLISHED_ENTROPY }),
    repo: 'facebook/blt-7b',
    description: 'published, 10.6 B parameters, 3.8 B of them hash n-grams',
  },
  'blt-tiny': {
    config: blt({ encoder: stack(1, 96, 2, 256), global: stack(2, 192, 3, 512), decoder: stack(2, 96, 2, 256), queriesPerChunk: 2, hashVocabulary: 5000, hashSizes: [3, 4, 5, 6], entropyModel: preset('entropy-tiny') }),
    description: '3.4 M parameters, 1.9 M of them hash n-grams: trains on a laptop core',
  },
  'blt-10M': {
    config: blt({ encoder: stack(1, 192, 3, 512), global: stack(4, 384, 6, 1024), decoder: stack(3, 192, 3, 512), queriesPerChunk: 2, hashVocabulary: 500, entropyModel: preset('entropy-500K') }),
    description: '10.8 M parameters',
  },
  'blt-40M': {
    config: blt({ encoder: stack(1, 320, 5, 896), global: stack(6, 640, 10, 1792), decoder: stack(4, 320, 5, 896), queriesPerChunk: 2, hashVocabulary: 1000, entropyModel: preset('entropy-1M') }),
    description: '42.6 M parameters',
  },
};
