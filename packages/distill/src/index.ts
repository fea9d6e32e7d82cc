// bytes of subword tokens
export { byteOfCharacter, bytesOfCharacters } from './alignment/byte-alphabet.js';
export { type AddedTokenJson, type Spelling, type TokenizerJson } from './alignment/tokenizer-json.js';
export { END_SYMBOL, PAD_SYMBOL, SubwordVocabulary, type SubwordVocabularyOptions } from './alignment/vocabulary.js';
export { alignTokensToBytes, checkRoundTrip, symbolsToBytes, type ByteAlignment } from './alignment/align.js';
export { SubwordTokenizer, type TextEncoderLike } from './alignment/subword-tokenizer.js';
export { BOLMO_VOCABULARY, byteRows, fusedLabels, patchEnds, patchesAtBoundaries, type ByteRows, type ByteRowsOptions, type StudentVocabulary } from './alignment/byte-rows.js';
// likelihoods
export { foldBoundaries, labelLogProbs, logMass, logMassAfterPatches, patchLogLikelihoods, tokenLogLikelihoods } from './likelihood/patch-likelihood.js';
// losses
export { type Reduction, type ReduceOptions } from './losses/reduce.js';
export { boundaryDivergence, boundaryLoss, boundaryScores, type BoundaryLossOptions, type BoundaryScores } from './losses/boundary-loss.js';
export { encoderMatchLoss, patchEmbeddingLoss, type Distance, type EncoderMatchOptions, type PatchEmbeddingOptions } from './losses/encoder-loss.js';
export { exactDistillLoss, type Divergence, type ExactDistillOptions } from './losses/exact-loss.js';
