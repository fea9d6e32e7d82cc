import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DataError } from '@bytelm/core';
import { openCheckpoint } from '@bytelm/core/io';
import { findModel, readConfigFile, readJsonFile, type FoundModel, type ModelSource, type Weights } from '@bytelm/example-shared/model';
import { parseBLTConfig, parseEntropyConfig, type BLTConfig, type EntropyModelConfig, type ParsedConfig } from '../config/index.js';
import { BLT_PRESETS, ENTROPY_PRESETS } from '../presets.js';

/** A BLT by name, before its weights are read. */
export interface BLTSource extends ModelSource<BLTConfig> {
  /** The configuration's file as it was understood; of a preset, what it would be. */
  parsed: ParsedConfig;
  /** The entropy model where it lies apart; `null`: in the same file as the model, or nowhere. */
  entropyWeights: Weights | null;
}

export interface EntropyModelSource extends ModelSource<EntropyModelConfig> {
  parsed: ParsedConfig<EntropyModelConfig>;
}

/**
 * Finds a BLT: a folder in one of the published layouts, a weight file with its configuration beside it, a preset, or a Hugging Face id.
 * Original layout: `config.json` or `params.json`, the entropy model in `entropy_model/` inside or beside the folder, or in
 * `entropy_model.safetensors` with its `params.json`.
 *
 * @param configPath A configuration to use in place of the one that belongs to the weights.
 * @throws ConfigError for a name that is none of these, DataError when a file is missing.
 */
export async function findBLT(spec: string, configPath?: string): Promise<BLTSource> {
  const presets = asParsed(BLT_PRESETS);
  const found = await findModel(spec, { presets, resolve: (raw) => parseBLTConfig(raw), configPath: configPath ?? paramsOf(spec) });
  const beside = found.config.format === 'original' ? entropyBeside(found) : undefined;
  const parsed = beside ? withEntropy(found.config, beside) : found.config;
  return { name: found.name, config: parsed.config, weights: found.weights, parsed, entropyWeights: beside?.weights ?? (await publishedEntropy(found)) };
}

/**
 * Finds an entropy model: a folder (`config.json` or `params.json`, and weights), also that of a BLT which holds one; a file, a preset, or a Hugging
 * Face id.
 *
 * @throws ConfigError for a name that is none of these, DataError when a file is missing.
 */
export async function findEntropyModel(spec: string, configPath?: string): Promise<EntropyModelSource> {
  const inside = existsSync(join(spec, 'entropy_model')) ? join(spec, 'entropy_model') : spec;
  const presets = asParsed(ENTROPY_PRESETS);
  const { name, config, weights } = await findModel(inside, { presets, resolve: (raw) => parseEntropyConfig(raw), configPath: configPath ?? paramsOf(inside) });
  return { name, config: config.config, weights, parsed: config };
}

/** Repositories in the original layout take the published entropy model, which is a repository of its own. */
async function publishedEntropy({ config, weights, folder }: FoundModel<ParsedConfig, unknown>): Promise<Weights | null> {
  const wanted = config.format === 'original' && weights !== null && folder === undefined && config.config.patching.mode === 'entropy';
  return wanted ? (await findEntropyModel(ENTROPY_PRESETS['blt-entropy']!.repo!)).weights : null;
}

type Entropy = { weights: Weights; params: unknown };

/** `params.json` is the configuration of a folder that has no other. */
function paramsOf(spec: string): string | undefined {
  const isFolder = existsSync(spec) && statSync(spec).isDirectory();
  const folder = isFolder ? spec : dirname(spec);
  const path = join(folder, 'params.json');
  return existsSync(spec) && existsSync(path) && !existsSync(join(folder, 'config.json')) ? path : undefined;
}

/** An entropy model of the original layout, inside the folder of a BLT or beside it. */
function entropyBeside({ folder }: FoundModel<ParsedConfig, unknown>): Entropy | undefined {
  if (folder === undefined) return undefined;
  const single = join(folder, 'entropy_model.safetensors');
  if (existsSync(single)) return { weights: local(single), params: readIfThere(join(folder, 'params.json')) };
  // `facebook/blt` has its models side by side, each with a params.json only.
  const sideBySide = existsSync(join(folder, 'config.json')) ? [] : [join(folder, '..', 'entropy_model')];
  for (const path of [join(folder, 'entropy_model'), ...sideBySide]) {
    const params = ['params.json', 'config.json'].map((f) => readIfThere(join(path, f))).find((p) => p !== undefined);
    if (params !== undefined) return { weights: local(path), params };
  }
  return undefined;
}

const readIfThere = (path: string): unknown => (existsSync(path) ? readJsonFile(path) : undefined);
const local = (path: string): Weights => ({ label: path, local: true, open: () => openCheckpoint(path) });

/** The configuration once more, with what the entropy model's file says about it and about patching. */
function withEntropy(parsed: ParsedConfig, { weights, params }: Entropy): ParsedConfig {
  if (params === undefined) throw new DataError(`[model] ${weights.label}: expected a params.json beside the entropy model, the file is not there. Hint: it belongs to the published files.`);
  const again = parseBLTConfig(parsed.raw, params);
  // A `config.json` of its own ({"args": …}) has other keys than a `params.json`.
  return again.config.entropyModel ? again : { ...again, config: { ...again.config, entropyModel: parseEntropyConfig(params).config } };
}

/** Presets in the form of files. */
function asParsed<C>(presets: Readonly<Record<string, { config: C; repo?: string }>>): Record<string, { config: ParsedConfig<C>; repo?: string }> {
  const parsed = (config: C): ParsedConfig<C> => ({ config, format: 'original', unknown: {}, raw: {} });
  return Object.fromEntries(Object.entries(presets).map(([name, { config, repo }]) => [name, { config: parsed(config), ...(repo !== undefined && { repo }) }]));
}

/** Reads a configuration file of either format. @throws ConfigError, DataError with the path in front. */
export const readBLTConfig = (path: string): ParsedConfig => readConfigFile(path, (raw) => parseBLTConfig(raw));
