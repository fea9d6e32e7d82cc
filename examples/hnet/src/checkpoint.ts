import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Rng, type SequenceLM } from '@bytelm/core';
import { loadParameters, saveSafetensors, stateDict, writeFileAtomic } from '@bytelm/core/io';
import { findModel, type ModelSource } from '@bytelm/example-shared/model';
import { readRunSettings } from '@bytelm/example-shared/train';
import { resolveHNetConfig, type HNetConfig } from './config.js';
import { createHNet } from './model.js';
import { HNET_PRESETS } from './presets.js';
import type { TrainSettings } from './train/settings.js';

/** The model that ships with this example. */
export const TINY_MODEL = fileURLToPath(new URL('../models/tiny', import.meta.url));

export interface HNetSource extends ModelSource<HNetConfig> {
  /** Targets it was trained with, where that is known. */
  ratioTargets: number[] | undefined;
}

/**
 * Finds a model: a folder, a file, a preset, or a Hugging Face id (`findModel` of the shared code says more).
 *
 * @param configPath A configuration to use in place of the one that belongs to the weights.
 * @throws ConfigError for a name that is none of these, DataError when a file is missing.
 */
export async function findHNet(spec: string, configPath?: string): Promise<HNetSource> {
  const { preset, folder, ...source } = await findModel(spec, { presets: HNET_PRESETS, resolve: resolveHNetConfig, configPath });
  const trained = folder === undefined ? undefined : readRunSettings<TrainSettings>(folder)?.ratioTargets;
  return { ...source, ratioTargets: Array.isArray(trained) ? trained : preset?.ratioTargets };
}

export interface LoadModelOptions {
  /** For weights that are drawn, not read. Default 0. */
  seed?: number;
  /** With these the model has a ratio loss. */
  ratioTargets?: readonly number[];
  ratioLossWeight?: number;
}

/** The model with its weights; a source without any gets initial ones, drawn from the seed. */
export async function loadModel(source: ModelSource<HNetConfig>, options: LoadModelOptions = {}): Promise<SequenceLM> {
  const { seed = 0, ...rest } = options;
  if (!source.weights) return createHNet(source.config, { ...rest, rng: new Rng(seed) });
  const weights = await source.weights.open();
  try {
    const model = createHNet(source.config, rest);
    try {
      await loadParameters(model, weights);
      return model;
    } catch (e) {
      model.dispose();
      throw e;
    }
  } finally {
    await weights.close();
  }
}

/** Writes `model.safetensors` and `config.json` under the published names, each atomically. */
export async function saveModel(folder: string, model: SequenceLM, config: HNetConfig): Promise<void> {
  await saveSafetensors(stateDict(model), join(folder, 'model.safetensors'), { format: 'pt' });
  await saveConfig(folder, config);
}

export const saveConfig = (folder: string, config: HNetConfig): Promise<void> => writeFileAtomic(join(folder, 'config.json'), `${JSON.stringify(config, null, 1)}\n`);
