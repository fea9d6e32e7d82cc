import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ConfigError, DataError } from '@bytelm/core';
import { openCheckpoint, openPretrained, type TensorSource } from '@bytelm/core/io';
import { count } from '../cli/format.js';
import { readConfigFile } from './read-config.js';

export interface Weights {
  label: string;
  /** Whether they are files here; otherwise opening them goes to the network. */
  local: boolean;
  open: () => Promise<TensorSource>;
}

/** A model by name, before its weights are read. */
export interface ModelSource<C = unknown> {
  /** As the user wrote it. */
  name: string;
  config: C;
  /** Where weights are; `null` for a preset without published ones. */
  weights: Weights | null;
}

export interface FoundModel<C, P> extends ModelSource<C> {
  /** The preset it is, or whose published file or repository it is. */
  preset?: P | undefined;
  /** Where local files of it lie. */
  folder?: string | undefined;
}

export interface FindModelOptions<C, P> {
  presets: Readonly<Record<string, P>>;
  /** Checks a configuration as read from JSON. */
  resolve: (raw: unknown) => C;
  /** A configuration to use in place of the one that belongs to the weights. */
  configPath?: string | undefined;
}

/** Files of weights in a folder, the first that is there. */
const WEIGHT_FILES = ['model.safetensors', 'model.safetensors.index.json', 'pytorch_model.bin.index.json', 'pytorch_model.bin'];

/**
 * Finds a model: a folder (`config.json` and weights), a file (`.safetensors`, `.pt`, `.bin`, with a `config.json` beside it or the name
 * of a published model), a preset, or a Hugging Face id.
 *
 * @throws ConfigError for a name that is none of these, DataError when a file is missing.
 */
export async function findModel<C, P extends { config: C; repo?: string }>(spec: string, options: FindModelOptions<C, P>): Promise<FoundModel<C, P>> {
  const { presets, resolve, configPath } = options;
  const given = configPath === undefined ? undefined : readConfigFile(configPath, resolve);
  if (existsSync(spec)) return statSync(spec).isDirectory() ? fromFolder(spec, given, options) : fromFile(spec, given, options);
  const preset = Object.hasOwn(presets, spec) ? presets[spec]! : undefined;
  if (preset) return { name: spec, config: given ?? preset.config, preset, weights: preset.repo ? hub(preset.repo) : null };
  if (/^[\w.-]+\/[\w.-]+$/.test(spec) && !spec.startsWith('.')) return fromHub(spec, given, options);
  throw new ConfigError(`[model] ${spec}: expected a folder, a file, a preset or a Hugging Face id, found none of them. Hint: presets are ${Object.keys(presets).join(', ')}.`);
}

const hub = (id: string): Weights => ({ label: id, local: false, open: async () => (await fetchModel(id)).tensors });

/** A repository of the Hugging Face hub. One without a configuration must be that of a preset. */
async function fromHub<C, P extends { config: C; repo?: string }>(id: string, given: C | undefined, { presets, resolve }: FindModelOptions<C, P>): Promise<FoundModel<C, P>> {
  const preset = Object.values(presets).find((p) => p.repo === id);
  const known = given ?? preset?.config;
  if (known !== undefined) return { name: id, config: known, preset, weights: hub(id) };
  const { config, tensors } = await fetchModel(id);
  if (!config) {
    await tensors.close();
    throw new ConfigError(`[model] ${id}: expected a config.json in the repository, there is none. Hint: add --config FILE.`);
  }
  return { name: id, config: resolve(config), weights: { label: id, local: false, open: async () => tensors } };
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

function fromFolder<C, P extends { config: C }>(folder: string, given: C | undefined, { presets, resolve }: FindModelOptions<C, P>): FoundModel<C, P> {
  const path = join(folder, 'config.json');
  const file = WEIGHT_FILES.find((f) => existsSync(join(folder, f))) ?? readdirSync(folder).find((f) => /\.(pt|pth|safetensors)$/.test(f));
  if (!file) throw new DataError(`[model] ${folder}: expected ${WEIGHT_FILES[0]} or another checkpoint in it, found none. Hint: name the folder that \`train --out\` wrote.`);
  const preset = presetOf(file, presets);
  const config = given ?? (existsSync(path) ? readConfigFile(path, resolve) : preset?.config);
  if (!config) throw new DataError(`[model] ${path}: expected a configuration, the file is not there. Hint: add --config FILE.`);
  const weights = join(folder, file);
  return { name: folder, config, preset, folder, weights: { label: weights, local: true, open: () => openCheckpoint(weights) } };
}

function fromFile<C, P extends { config: C }>(file: string, given: C | undefined, { presets, resolve }: FindModelOptions<C, P>): FoundModel<C, P> {
  const beside = join(dirname(file), 'config.json');
  const preset = presetOf(file, presets);
  const config = given ?? (existsSync(beside) ? readConfigFile(beside, resolve) : preset?.config);
  if (!config) throw new DataError(`[model] ${file}: expected ${beside}, or the name of a published model. Hint: add --config FILE.`);
  return { name: file, config, preset, folder: dirname(file), weights: { label: file, local: true, open: () => openCheckpoint(file) } };
}

/** Published files are named after their model: `hnet_1stage_L.pt`. */
function presetOf<P>(file: string, presets: Readonly<Record<string, P>>): P | undefined {
  const name = basename(file).replace(/\.(pt|pth|bin|safetensors)$/, '');
  return Object.hasOwn(presets, name) ? presets[name] : undefined;
}
