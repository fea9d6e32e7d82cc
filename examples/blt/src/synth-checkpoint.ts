import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Rng } from '@bytelm/core';
import { float32ToBf16, saveShards, writeFileAtomic, type SavableTensor, type StreamedTensor } from '@bytelm/core/io';
import { writeBLTConfig, type BLTConfig, type ConfigFormat } from './config/index.js';
import { BLT_KEYS, ENTROPY_KEYS, FUSED_HASH_TABLES, PATCHER_PREFIX } from './key-maps.js';
import { entropyParameterShapes, numHashTables, parameterShapes } from './parameter-shapes.js';

export interface SynthOptions {
  /** Default 'original': hash tables apart, the entropy model in `entropy_model/`. */
  format?: ConfigFormat | undefined;
  /** Default 0. */
  seed?: number | undefined;
  /** Bytes of one file at most, unless a single tensor has more. Default 4e9. */
  maxShardBytes?: number | undefined;
  /** Called after each file. */
  onProgress?: ((done: number, total: number, file: string) => void) | undefined;
}

/** What was written. */
export interface SynthReport {
  parameters: number;
  /** Of all weights, two each. */
  bytes: number;
}

/**
 * Writes a checkpoint of a configuration with random bf16 weights, to measure with: the published layout, names, shapes and shards, made while
 * they are written, so that a model of any size takes a few megabytes of memory.
 */
export async function synthCheckpoint(folder: string, config: BLTConfig, options: SynthOptions = {}): Promise<SynthReport> {
  const { format = 'original', seed = 0, maxShardBytes, onProgress } = options;
  const noise = noiseTable(new Rng(seed).fork('noise'));
  let parameters = 0;
  const tensor = (name: string, shape: readonly number[]): StreamedTensor => {
    parameters += sizeOf(shape);
    return randomTensor(name, shape, noise, new Rng(seed).fork(name).nextUint32());
  };
  const main = new Map<string, SavableTensor>();
  for (const [name, shape] of parameterShapes(config)) {
    if (format === 'transformers' && name.startsWith('encoder_hash_tok_embedding.')) continue;
    main.set(format === 'original' ? name : BLT_KEYS.toFile(name), tensor(name, shape));
  }
  if (format === 'transformers') main.set(`model.${FUSED_HASH_TABLES}`, tensor(FUSED_HASH_TABLES, [numHashTables(config) * config.hash.vocabularySize, config.encoder.dModel]));
  const entropy = new Map<string, SavableTensor>();
  for (const [name, shape] of config.entropyModel ? entropyParameterShapes(config.entropyModel) : []) {
    (format === 'original' ? entropy : main).set(format === 'original' ? name : PATCHER_PREFIX + ENTROPY_KEYS.toFile(name), tensor(`entropy ${name}`, shape));
  }
  const written = writeBLTConfig(config, format);
  const save = { metadata: { format: 'pt', made: `random weights, seed ${seed}` }, maxShardBytes, onProgress };
  await mkdir(join(folder, entropy.size ? 'entropy_model' : ''), { recursive: true });
  await saveShards(main, folder, save);
  await writeJson(join(folder, 'config.json'), written.config);
  if (entropy.size) {
    await saveShards(entropy, join(folder, 'entropy_model'), save);
    await writeJson(join(folder, 'entropy_model', 'params.json'), written.params);
  }
  return { parameters, bytes: 2 * parameters };
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const writeJson = (path: string, value: unknown) => writeFileAtomic(path, `${JSON.stringify(value, null, 1)}\n`);

const DRAWS = 1 << 16;
const CHUNK = 1 << 22;
const ONE = 0x3f80;

/** Standard normal draws: entries are picked from here, which is much faster than drawing billions. */
function noiseTable(rng: Rng): Float32Array {
  return Float32Array.from({ length: DRAWS }, () => Math.max(-3, Math.min(3, rng.nextNormal())));
}

/** Norms are 1; matrices normal with width^-½, as at the start of training. */
function randomTensor(name: string, shape: readonly number[], noise: Float32Array, seed: number): StreamedTensor {
  const size = sizeOf(shape);
  const std = shape.at(-1)! ** -0.5;
  return {
    dtype: 'BF16',
    shape,
    *chunks() {
      if (/norm/.test(name)) return yield bytesOf(new Uint16Array(size).fill(ONE));
      const table = float32ToBf16(noise.map((v) => v * std));
      const out = new Uint16Array(Math.min(size, CHUNK));
      let state = (seed | 1) >>> 0;
      for (let done = 0; done < size; ) {
        const n = Math.min(CHUNK, size - done);
        for (let i = 0; i < n; i += 2) {
          // xorshift32: two entries a draw.
          state ^= state << 13;
          state ^= state >>> 17;
          state ^= state << 5;
          out[i] = table[state & 0xffff]!;
          out[i + 1] = table[state >>> 16]!;
        }
        yield bytesOf(out.subarray(0, n));
        done += n;
      }
    },
  };
}

const bytesOf = (values: Uint16Array): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
