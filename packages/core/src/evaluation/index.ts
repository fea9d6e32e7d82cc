/** Evaluation of byte-level language models. */
export { bitsPerByte, type BitsPerByteOptions, type BpbReport, type ByteScore, type Documents } from './bits-per-byte.js';
