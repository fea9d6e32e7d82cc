import { CheckpointError, Rng, type HierarchicalLM, type WeightFormat } from '@bytelm/core';
import { loadParameters, type TensorSource } from '@bytelm/core/io';
import type { EntropyModel } from '@bytelm/latent-transformer';
import { HashNgramEmbedding, tableSource } from '@bytelm/patching';
import type { EntropyModelConfig } from '../config/index.js';
import { createBLT, createEntropyModel, type BLTOptions } from '../model.js';
import { withEntropyFfnOf, withFfnOf } from './ffn-width.js';
import type { BLTSource, EntropyModelSource } from './find.js';
import { bltView, entropyView } from './layout.js';

/** Where hash tables are kept: trainable on the device, on the host as stored or rounded to bf16, or in their file. */
export type HashTables = 'device' | 'memory' | 'bf16' | 'file';

export interface LoadBLTOptions extends Omit<BLTOptions, 'rng' | 'hashStorage'> {
  /** For weights that are drawn, not read. Default 0. */
  seed?: number | undefined;
  /** Default 'device'. */
  hashTables?: HashTables | undefined;
  /** Called after each tensor. */
  onProgress?: ((done: number, total: number, name: string) => void) | undefined;
}

/**
 * The model with its weights, and the entropy model it patches with; a source without any gets initial ones, drawn from the seed.
 * @throws CheckpointError listing every missing, unexpected and mis-shaped tensor at once.
 */
export async function loadBLT(source: BLTSource, options: LoadBLTOptions = {}): Promise<HierarchicalLM> {
  const { seed = 0, hashTables = 'device', onProgress, ...rest } = options;
  if (!source.weights) return createBLT(source.config, { ...rest, rng: new Rng(seed) });
  const file = await source.weights.open();
  let keepOpen = false;
  try {
    const view = bltView(file, source.config);
    const config = withFfnOf(source.config, view);
    const wantsEntropy = config.patching.mode === 'entropy' && !options.patcher && !options.entropyModel;
    const entropyModel = wantsEntropy ? await loadEntropyOf(source, file, options.weights) : options.entropyModel;
    const model = createBLT(config, { ...rest, entropyModel, hashStorage: hashTables === 'device' ? 'device' : 'host' });
    try {
      await fill(model, view, hashTables, onProgress);
    } catch (e) {
      model.dispose();
      if (wantsEntropy) entropyModel?.dispose();
      throw e;
    }
    keepOpen = hashTables === 'file';
    if (keepOpen) closeWith(model, file);
    return model;
  } finally {
    if (!keepOpen) await file.close();
  }
}

/** An entropy model on its own, from a file of either layout; without weights drawn from the seed. */
export async function loadEntropyModel(source: EntropyModelSource, { seed = 0, weights }: { seed?: number; weights?: WeightFormat | undefined } = {}): Promise<EntropyModel> {
  if (!source.weights) return createEntropyModel(source.config, { rng: new Rng(seed), weights });
  const file = await source.weights.open();
  try {
    return await readEntropyModel(file, source.config, { weights });
  } finally {
    await file.close();
  }
}

async function loadEntropyOf(source: BLTSource, file: TensorSource, weights: WeightFormat | undefined): Promise<EntropyModel> {
  const { entropyModel: config, eosId } = source.config;
  if (!source.entropyWeights) return readEntropyModel(file, config, { eosId, weights });
  const own = await source.entropyWeights.open();
  try {
    return await readEntropyModel(own, config, { eosId, weights });
  } finally {
    await own.close();
  }
}

async function readEntropyModel(file: TensorSource, config: EntropyModelConfig | null, options: { eosId?: number; weights?: WeightFormat | undefined } = {}): Promise<EntropyModel> {
  const view = entropyView(file);
  if (!view || !config) {
    throw new CheckpointError(`[loadBLT] ${file.name}: patches by entropies need an entropy model, it ${view ? 'has no configuration' : 'is not in this file'}. Hint: --entropy-model DIR, or --patcher space.`);
  }
  const model = createEntropyModel(withEntropyFfnOf(config, view), options);
  try {
    await loadParameters(model, view);
    return model;
  } catch (e) {
    model.dispose();
    throw e;
  }
}

async function fill(model: HierarchicalLM, view: TensorSource, hashTables: HashTables, onProgress: LoadBLTOptions['onProgress']): Promise<void> {
  const embed = model.parts.embed as HashNgramEmbedding;
  const isTable = (name: string) => name.startsWith('encoder_hash_tok_embedding.');
  if (hashTables === 'device') {
    const inPieces = [...embed.pieces(0)].length > 1;
    await loadParameters(model, inPieces ? tableSource(view, embed) : view, { onProgress });
  } else {
    await loadParameters(model, view, { allowUnexpected: isTable, onProgress });
    await embed.loadTables(view, { keep: hashTables === 'file' ? 'file' : 'memory', as: hashTables === 'bf16' ? 'bf16' : 'stored' });
  }
}

/** Rows are read as long as the model lives. */
function closeWith(model: HierarchicalLM, file: TensorSource): void {
  const dispose = model.dispose.bind(model);
  model.dispose = () => {
    dispose();
    void file.close();
  };
}
