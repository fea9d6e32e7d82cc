import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConfigError, DataError, Rng, type SequenceLM } from '@bytelm/core';
import { loadParameters, openCheckpoint, openPretrained, saveSafetensors, stateDict, writeFileAtomic, type TensorSource } from '@bytelm/core/io';
import { count } from './cli/format.js';
import { resolveHNetConfig, type HNetConfig } from './config.js';
import { createHNet } from './model.js';
import { HNET_PRESETS } from './presets.js';
import { readConfigFile } from './read-config.js';

/** The model that ships with this example. */
export const TINY_MODEL = fileURLToPath(new URL('../models/tiny', import.meta.url));

interface Weights {
  label: string;
  /** Whether they are files here; otherwise opening them goes to the network. */
  local: boolean;
  open: () => Promise<TensorSource>;
}

/** A model by name, before its weights are read. */
export interface ModelSource {
  /** As the user wrote it. */
  name: string;
  config: HNetConfig;
  /** Where weights are; `null` for a preset without published ones. */
  weights: Weights | null;
  /** Targets it was trained with, where that is known. */
  ratioTargets: number[] | undefined;
}

/** Files of weights in a folder, the first that is there. */
const WEIGHT_FILES = ['model.safetensors', 'model.safetensors.index.json', 'pytorch_model.bin.index.json', 'pytorch_model.bin'];

/**
 * Finds a model: a folder (`config.json` and weights), a file (`.safetensors`, `.pt`, `.bin`, with a `config.json` beside it or the name
 * of a published model), a preset, or a Hugging Face id.
 *
 * @param configPath A configuration to use in place of the one that belongs to the weights.
 * @throws ConfigError for a name that is none of these, DataError when a file is missing.
 */
export async function findModel(spec: string, configPath?: string): Promise<ModelSource> {
  const given = configPath === undefined ? undefined : readConfigFile(configPath);
  if (existsSync(spec)) return statSync(spec).isDirectory() ? fromFolder(spec, given) : fromFile(spec, given);
  const preset = Object.hasOwn(HNET_PRESETS, spec) ? HNET_PRESETS[spec]! : undefined;
  if (preset) {
    const { repo, ratioTargets } = preset;
    return { name: spec, config: given ?? preset.config, ratioTargets, weights: repo ? hub(repo) : null };
  }
  if (/^[\w.-]+\/[\w.-]+$/.test(spec) && !spec.startsWith('.')) return fromHub(spec, given);
  throw new ConfigError(`[model] ${spec}: expected a folder, a file, a preset or a Hugging Face id, found none of them. Hint: presets are ${Object.keys(HNET_PRESETS).join(', ')}.`);
}

const hub = (id: string): Weights => ({ label: id, local: false, open: async () => (await fetchModel(id)).tensors });

/** A repository of the Hugging Face hub. The published ones hold no configuration: theirs are presets. */
async function fromHub(id: string, given: HNetConfig | undefined): Promise<ModelSource> {
  const known = Object.values(HNET_PRESETS).find((p) => p.repo === id);
  if (given ?? known) return { name: id, config: (given ?? known?.config)!, ratioTargets: known?.ratioTargets, weights: hub(id) };
  const { config, tensors } = await fetchModel(id);
  if (!config) {
    await tensors.close();
    throw new ConfigError(`[model] ${id}: expected a config.json in the repository, there is none. Hint: add --config FILE.`);
  }
  return { name: id, config: resolveHNetConfig(config), ratioTargets: undefined, weights: { label: id, local: false, open: async () => tensors } };
}

/** Downloads what is not in the cache, saying now and then how far it is. */
function fetchModel(id: string) {
  let shown = 0;
  return openPretrained(id, {
    onProgress: ({ file, loaded, total }) => {
      if (performance.now() - shown < 2000 && loaded < total) return;
      shown = performance.now();
      process.stderr.write(`${id}: ${file} ${count(loaded / 1e6)} of ${count(total / 1e6)} MB\n`);
    },
  });
}

function fromFolder(folder: string, given: HNetConfig | undefined): ModelSource {
  const path = join(folder, 'config.json');
  const file = WEIGHT_FILES.find((f) => existsSync(join(folder, f))) ?? readdirSync(folder).find((f) => /\.(pt|pth|safetensors)$/.test(f));
  if (!file) throw new DataError(`[model] ${folder}: expected ${WEIGHT_FILES[0]} or another checkpoint in it, found none. Hint: name the folder that \`train --out\` wrote.`);
  const config = given ?? (existsSync(path) ? readConfigFile(path) : presetOf(file)?.config);
  if (!config) throw new DataError(`[model] ${path}: expected a configuration, the file is not there. Hint: add --config FILE.`);
  const weights = join(folder, file);
  return { name: folder, config, ratioTargets: trainedTargets(folder) ?? presetOf(file)?.ratioTargets, weights: { label: weights, local: true, open: () => openCheckpoint(weights) } };
}

function fromFile(file: string, given: HNetConfig | undefined): ModelSource {
  const beside = join(dirname(file), 'config.json');
  const config = given ?? (existsSync(beside) ? readConfigFile(beside) : presetOf(file)?.config);
  if (!config) throw new DataError(`[model] ${file}: expected ${beside}, or the name of a published model. Hint: add --config FILE.`);
  return { name: file, config, ratioTargets: trainedTargets(dirname(file)) ?? presetOf(file)?.ratioTargets, weights: { label: file, local: true, open: () => openCheckpoint(file) } };
}

/** Published files are named after their model: `hnet_1stage_L.pt`. */
function presetOf(file: string) {
  const name = basename(file).replace(/\.(pt|pth|bin|safetensors)$/, '');
  return Object.hasOwn(HNET_PRESETS, name) ? HNET_PRESETS[name] : undefined;
}

/** What `train` noted beside the weights. */
function trainedTargets(folder: string): number[] | undefined {
  try {
    const { ratioTargets } = JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')) as { ratioTargets?: number[] };
    return Array.isArray(ratioTargets) ? ratioTargets : undefined;
  } catch {
    return undefined;
  }
}

export interface LoadModelOptions {
  /** For weights that are drawn, not read. Default 0. */
  seed?: number;
  /** With these the model has a ratio loss. */
  ratioTargets?: readonly number[];
  ratioLossWeight?: number;
}

/** The model with its weights; a source without any gets initial ones, drawn from the seed. */
export async function loadModel(source: ModelSource, options: LoadModelOptions = {}): Promise<SequenceLM> {
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
  await writeFileAtomic(join(folder, 'config.json'), `${JSON.stringify(config, null, 1)}\n`);
}
