import { DEFAULT_PATCHING, type EntropyModelConfig, type StackConfig } from '@bytelm/example-blt';
import type { Bases } from './build.js';

const stack = (numLayers: number, dModel: number, numHeads: number): StackConfig => ({
  dModel,
  numLayers,
  numHeads,
  numKvHeads: numHeads,
  dIntermediate: 2 * dModel,
  theta: 500_000,
  normEps: 1e-5,
  window: 64,
});

/** Of the model whose entropies cut the text. */
export const ENTROPY_MODEL: EntropyModelConfig = { ...stack(2, 64, 2), theta: 10_000, vocabSize: 260, maxPositions: 4096 };

/** Small enough for a few hundred steps in a minute or two; local parts are 64 wide, main networks 128, two layers each. */
export const BASES: Bases = {
  hnet: {
    arch_layout: ['m2', ['T2'], 'm2'],
    d_model: [64, 128],
    d_intermediate: [0, 256],
    vocab_size: 256,
    ssm_cfg: { chunk_size: 64, d_conv: 4, d_state: 32, expand: 2 },
    attn_cfg: { num_heads: [2, 4], rotary_emb_dim: [16, 16], window_size: [-1, -1] },
    tie_embeddings: false,
  },
  blt: {
    vocabSize: 260,
    eosId: 2,
    encoder: stack(1, 64, 2),
    global: { ...stack(2, 128, 4), window: null },
    decoder: stack(2, 64, 2),
    crossAttention: { queriesPerChunk: 2, encoderHeads: 2, decoderHeads: 2, encoderLayers: 'last', decoderLayers: 'all', encoderWindow: null, decoderWindow: null },
    hash: { sizes: [3, 4, 5], vocabularySize: 1000, numFunctions: 1 },
    patching: DEFAULT_PATCHING,
    entropyModel: ENTROPY_MODEL,
    maxBytes: 4096,
    maxPatches: 2048,
    initStdFactor: 'disabled',
  },
};

/** Bytes per chunk that routers are pulled to and the entropies' threshold is chosen for. English words and their space are about as long. */
export const BYTES_PER_CHUNK = 4.5;
