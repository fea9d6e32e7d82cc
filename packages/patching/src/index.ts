// conversions
export { decoderPatchIds, lengthsFromStarts, padLengths, patchIds, splitLongLengths, startsFromLengths, uniformLengths, type LengthConvention } from './segmentation/lengths.js';
export { patchLengths, patchStarts, segmentationFromLengths, segmentationFromStarts, type FromLengthsOptions } from './segmentation/convert.js';
export { segmentGather, segmentMax, segmentMean } from './segmentation/pool.js';
// entropies
export { nextByteEntropy } from './entropy/next-byte-entropy.js';
export { entropies, type EntropiesOptions } from './entropy/entropies.js';
export { startsFromEntropy, type EntropyRule, type StartsOptions } from './entropy/entropy-rule.js';
export { calibrateThreshold, type CalibrateOptions, type Calibration } from './entropy/calibrate.js';
// patchers
export { RulePatcher, type PatcherOptions, type PatcherState, type PatcherStep } from './patchers/patcher.js';
export { EntropyPatcher, type EntropyPatcherOptions, type EntropyPatcherState } from './patchers/entropy-patcher.js';
export { SpacePatcher, type SpacePatcherState } from './patchers/space-patcher.js';
export { StridedPatcher } from './patchers/strided-patcher.js';
export { DelimiterPatcher } from './patchers/delimiter-patcher.js';
export { BpePatcher, type BpePatcherOptions } from './patchers/bpe-patcher.js';
export { BpeStream } from './patchers/bpe-stream.js';
export { openSubwordTokenizer, type SubwordTokenizer } from './patchers/subword-tokenizer.js';
// hash n-grams
export { hashNgramIds, hashNgramIdsOnHost, rawNgramHashes, type HashNgramCallOptions } from './hash/hash-ngrams.js';
export { HASH_PRIMES } from './hash/primes.js';
export type { HashNgramOptions } from './hash/hash-options.js';
export { hashEmbedding, type HashEmbeddingTables } from './hash/hash-embedding.js';
export { HashNgramEmbedding, type HashNgramState, type LoadTablesOptions } from './hash/hash-ngram-embedding.js';
export type { HashNgramEmbeddingConfig } from './hash/embedding-config.js';
export { tableSource, type TableLayout } from './hash/table-source.js';
