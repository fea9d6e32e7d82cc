// bytes of subword tokens
export { byteOfCharacter, bytesOfCharacters } from './alignment/byte-alphabet.js';
export { type AddedTokenJson, type Spelling, type TokenizerJson } from './alignment/tokenizer-json.js';
export { END_SYMBOL, PAD_SYMBOL, SubwordVocabulary, type SubwordVocabularyOptions } from './alignment/vocabulary.js';
export { alignTokensToBytes, checkRoundTrip, symbolsToBytes, type ByteAlignment } from './alignment/align.js';
export { SubwordTokenizer, type TextEncoderLike } from './alignment/subword-tokenizer.js';
export { BOLMO_VOCABULARY, byteRows, fusedLabels, type ByteRows, type ByteRowsOptions, type StudentVocabulary } from './alignment/byte-rows.js';
