import { ConfigError } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { checkHashOptions, type HashNgramOptions } from './hash-options.js';

export interface HashNgramEmbeddingConfig extends HashNgramOptions {
  dModel: number;
  /** Rows of the byte embedding. Default 260: BLT's bytes and special ids. */
  vocabSize?: number | undefined;
  /** Parameter names; default those of the original checkpoints. */
  names?: { bytes?: string | undefined; table?: ((t: number) => string) | undefined } | undefined;
  /**
   * `device`: tables are float32 parameters. `host`: tables stay outside of the backend, in their file or in memory as stored, and only the
   * sums of the rows at hand go to the device; they cannot be trained, and come from `loadTables`. Default `device`.
   */
  storage?: 'device' | 'host' | undefined;
  /** A larger table has its rows in several parameters. Default: what the WebGPU device binds at a time; no limit on other backends. */
  maxTableBytes?: number | undefined;
}

/** The configuration with every default filled in. */
export interface ResolvedConfig {
  readonly dModel: number;
  readonly vocabSize: number;
  readonly sizes: readonly number[];
  readonly numFunctions: number;
  readonly vocabularySize: number;
  readonly names: { readonly bytes: string; readonly table: (t: number) => string };
  readonly storage: 'device' | 'host';
  /** Rows of one parameter. */
  readonly pieceRows: number;
}

/** @throws ConfigError */
export function resolveConfig(config: HashNgramEmbeddingConfig): ResolvedConfig {
  const where = 'HashNgramEmbedding';
  const { dModel, vocabSize = 260, sizes, numFunctions = 1, vocabularySize, storage = 'device', maxTableBytes = bindable() } = config;
  for (const [name, n] of Object.entries({ dModel, vocabSize })) {
    if (!(Number.isInteger(n) && n > 0)) throw new ConfigError(`[${where}] ${name}: expected a positive whole number, got ${n}.`);
  }
  checkHashOptions(where, { sizes, numFunctions, vocabularySize });
  if (storage !== 'device' && storage !== 'host') throw new ConfigError(`[${where}] storage: expected 'device' or 'host', got ${JSON.stringify(storage)}.`);
  const pieceRows = Math.floor(Math.min(maxTableBytes / (4 * dModel), vocabularySize));
  if (!(pieceRows >= 1)) throw new ConfigError(`[${where}] maxTableBytes: expected at least one row of ${4 * dModel} bytes, got ${maxTableBytes}.`);
  const { bytes = 'local_encoder.tok_embeddings.weight', table = (t: number) => `encoder_hash_tok_embedding.${t}.weight` } = config.names ?? {};
  return { dModel, vocabSize, sizes: [...sizes], numFunctions, vocabularySize, names: { bytes, table }, storage, pieceRows };
}

/** Bytes that a tensor of the active backend can have. */
function bindable(): number {
  if (tf.getBackend() !== 'webgpu') return Infinity;
  const { limits } = (tf.backend() as unknown as { device: { limits: { maxStorageBufferBindingSize: number; maxBufferSize: number } } }).device;
  return Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
}
