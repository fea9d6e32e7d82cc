import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type HierarchicalLM } from '@bytelm/core';
import { saveShards, stateDict, writeFileAtomic, type SavableTensor } from '@bytelm/core/io';
import { EntropyModel } from '@bytelm/latent-transformer';
import type { HashNgramEmbedding } from '@bytelm/patching';
import { writeBLTConfig, writeEntropyConfig, type BLTConfig, type ConfigFormat, type EntropyModelConfig, type ParsedConfig } from '../config/index.js';
import { BLT_KEYS, ENTROPY_KEYS, FUSED_HASH_TABLES, PATCHER_PREFIX } from '../key-maps.js';
import { hashTableName } from '../parameter-shapes.js';
import { storedAsBf16 } from '@bytelm/example-shared/model';

export interface SaveBLTOptions {
  /** Default 'transformers': one set of files that holds the entropy model, too. */
  format?: ConfigFormat | undefined;
  /** Where the configuration was read from: its unknown keys are kept. */
  source?: ParsedConfig | undefined;
  /** Bytes of one weight file at most. Default 4e9. */
  maxShardBytes?: number | undefined;
  /** Format of the weights. Default 'F32'. */
  dtype?: 'F32' | 'BF16' | undefined;
}

/**
 * Writes a model, and the entropy model that it patches with, under the names of a published layout, each file atomically. The original layout
 * keeps the entropy model in `entropy_model/`.
 *
 * @throws ConfigError when the layout cannot say what the configuration says.
 */
export async function saveBLT(folder: string, model: HierarchicalLM, config: BLTConfig, options: SaveBLTOptions = {}): Promise<void> {
  const { format = 'transformers', source, maxShardBytes, dtype = 'F32' } = options;
  const stored = (tensors: ReadonlyMap<string, SavableTensor>) => (dtype === 'F32' ? tensors : new Map([...tensors].map(([name, t]) => [name, storedAsBf16(t)])));
  const entropyModel = (model.parts.chunker as { model?: unknown }).model;
  const own = entropyModel instanceof EntropyModel ? entropyModel : undefined;
  const written = writeBLTConfig({ ...config, entropyModel: own ? config.entropyModel : null }, format, source);
  await mkdir(folder, { recursive: true });
  const tensors = bltTensors(model, format);
  if (own && format === 'transformers') for (const [name, t] of stateDict(own)) tensors.set(PATCHER_PREFIX + ENTROPY_KEYS.toFile(name), t);
  await saveShards(stored(tensors), folder, { metadata: { format: 'pt' }, maxShardBytes });
  await writeJson(join(folder, 'config.json'), written.config);
  if (own && format === 'original') {
    await mkdir(join(folder, 'entropy_model'), { recursive: true });
    await saveShards(stored(stateDict(own)), join(folder, 'entropy_model'), { metadata: { format: 'pt' } });
    await writeJson(join(folder, 'entropy_model', 'params.json'), written.params);
  }
}

/** Writes an entropy model as a folder of its own. */
export async function saveEntropyModel(folder: string, model: EntropyModel, config: EntropyModelConfig, { format = 'original' }: { format?: ConfigFormat } = {}): Promise<void> {
  await mkdir(folder, { recursive: true });
  const named = [...stateDict(model)].map(([name, t]): [string, SavableTensor] => [format === 'original' ? name : ENTROPY_KEYS.toFile(name), t]);
  await saveShards(new Map(named), folder, { metadata: { format: 'pt' } });
  await writeJson(join(folder, 'config.json'), writeEntropyConfig(config, format));
}

/** The model's tensors by file name; hash tables of the transformers layout as one stream. */
function bltTensors(model: HierarchicalLM, format: ConfigFormat): Map<string, SavableTensor> {
  const embed = model.parts.embed as HashNgramEmbedding;
  const tables = Array.from({ length: embed.numTables }, (_, t) => t);
  const { vocabularySize: rows } = embed.config;
  const stream = (of: readonly number[]): SavableTensor => ({
    dtype: 'F32',
    shape: [of.length * rows, embed.dModel],
    async *chunks() {
      for (const t of of) {
        const { values } = await embed.readTable(t);
        yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      }
    },
  });
  const out = new Map<string, SavableTensor>();
  for (const [name, t] of stateDict(model)) {
    if (name.startsWith('encoder_hash_tok_embedding.')) continue;
    out.set(format === 'original' ? name : BLT_KEYS.toFile(name), t);
  }
  if (format === 'original') for (const t of tables) out.set(hashTableName(t), stream([t]));
  else out.set(`model.${FUSED_HASH_TABLES}`, stream(tables));
  return out;
}

const writeJson = (path: string, value: unknown) => writeFileAtomic(path, `${JSON.stringify(value, null, 1)}\n`);
