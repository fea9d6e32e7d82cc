export { parseBolmoConfig, type BolmoConfig } from './config.js';
export { BOLMO_PRESETS, type BolmoPreset } from './presets.js';
export { createBolmo, type BolmoOptions } from './model.js';
export { LastBytePool } from './parts/last-byte-pool.js';
export { PatchUnpool, type PatchUnpoolState } from './parts/patch-unpool.js';
export { SuffixEmbedding, type SuffixEmbeddingConfig, type SuffixEmbeddingState } from './parts/suffix-embedding.js';
export { SuffixTrie } from './parts/suffix-trie.js';
