// bytes of subword tokens
export { byteOfCharacter, bytesOfCharacters } from './alignment/byte-alphabet.js';
export { type AddedTokenJson, type Spelling, type TokenizerJson } from './alignment/tokenizer-json.js';
export { END_SYMBOL, PAD_SYMBOL, SubwordVocabulary, type SubwordVocabularyOptions } from './alignment/vocabulary.js';
export { alignTokensToBytes, checkRoundTrip, symbolsToBytes, type ByteAlignment } from './alignment/align.js';
export { SubwordTokenizer, type TextEncoderLike } from './alignment/subword-tokenizer.js';
export { BOLMO_VOCABULARY, byteRows, cutAlike, fusedLabels, patchEnds, patchesAtBoundaries, type ByteRows, type ByteRowsOptions, type StudentVocabulary } from './alignment/byte-rows.js';
// likelihoods
export { foldBoundaries, labelLogProbs, logMass, logMassAfterPatches, patchLogLikelihoods, tokenLogLikelihoods } from './likelihood/patch-likelihood.js';
export { TeacherBytes, type ByteTargets, type TeacherBytesOptions } from './likelihood/teacher-bytes.js';
// losses
export { type Reduction, type ReduceOptions } from './losses/reduce.js';
export { boundaryDivergence, boundaryLoss, boundaryScores, type BoundaryLossOptions, type BoundaryScores } from './losses/boundary-loss.js';
export { encoderMatchLoss, patchEmbeddingLoss, type Distance, type EncoderMatchOptions, type PatchEmbeddingOptions } from './losses/encoder-loss.js';
export { exactDistillLoss, type Divergence, type ExactDistillOptions } from './losses/exact-loss.js';
export { byteDistillLoss } from './losses/byte-loss.js';
export { PAPER_STAGE1, PUBLISHED_STAGE1, PUBLISHED_STAGE2, stageLosses, type StageLossConfig, type StageLossInputs, type StageLossWeights } from './losses/stage-loss.js';
// data
export { tokenizeText, tokensInMemory, type TextSource, type TokenizeOptions, type TokenStore } from './data/token-store.js';
export { TokenWindows, type TokenWindowsOptions } from './data/token-windows.js';
export { TokenRows, batchOf, type TokenRowsOptions } from './data/token-rows.js';
// stages
export { sharedTeacher, teacherOf, type Teacher, type TeacherOutputs, type TeacherParts, type TeacherRequest, type TokenShape } from './stages/teacher.js';
export { Stage, type ByteRowsBatch, type StageGroupOptions, type StageOptions } from './stages/stage.js';
export { Stage1, type Stage1Options } from './stages/stage1.js';
export { Stage2, type Stage2Options } from './stages/stage2.js';
export { BOLMO_INIT, byteifyInit, type ByteifyInitOptions, type ByteifyInitReport, type ByteifyNames } from './stages/byteify-init.js';
export { evaluateByteified, type ByteifiedReport, type EvaluateByteifiedOptions, type NatsScore } from './evaluation/evaluate-byteified.js';
// higher compression
export { CompressedRows, scoreMerges, type CompressedRowsOptions, type MergeOrder } from './data/compressed-rows.js';
export { applyMerges, mergesByFrequency, mergesByScore, type MergedPatches, type MergeList, type MergeOptions } from './merging/merge-list.js';
export { compressionTarget, mergeRows } from './merging/merge-rows.js';
// weights
export { BOLMO_EMBEDDINGS, mergeTensors, taskArithmetic, type MergeChange, type MergeReport, type TaskArithmeticOptions } from './task-arithmetic.js';
export { bltFromLlama, type BltFromLlamaOptions, type LlamaShape } from './blt-from-llama.js';
