import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CheckpointError, ConfigError, Rng, type BoundaryEmittingLM } from '@bytelm/core';
import { fetchRepository, loadParameters } from '@bytelm/core/io';
import { SubwordTokenizer, SubwordVocabulary, type TokenizerJson } from '@bytelm/distill';
import { findModel, type FoundModel } from '@bytelm/example-shared/model';
import { parseBolmoConfig, type BolmoConfig } from './config.js';
import { createBolmo, type BolmoOptions } from './model.js';
import { SuffixTrie } from './parts/suffix-trie.js';
import { BOLMO_PRESETS, type BolmoPreset } from './presets.js';

/** What a tokenizer is stored in. */
export const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer_config.json'] as const;

/** The model that ships with this example. */
export const TINY_MODEL = fileURLToPath(new URL('../models/tiny', import.meta.url));

/** A model before its weights are read. */
export type BolmoSource = FoundModel<BolmoConfig, BolmoPreset>;

/** A folder, a file, a preset or a Hugging Face id. @throws ConfigError, DataError */
export const findBolmo = (spec: string, configPath?: string): Promise<BolmoSource> => findModel(spec, { presets: BOLMO_PRESETS, resolve: parseBolmoConfig, configPath });

export interface LoadBolmoOptions extends Omit<BolmoOptions, 'rng'> {
  /** For a source without weights: they are drawn. Default 0. */
  seed?: number | undefined;
  /** Called after each tensor. */
  onProgress?: ((done: number, total: number, name: string) => void) | undefined;
}

/**
 * The model with its weights, in one file or in shards; a source without any gets initial ones, drawn from the seed.
 * @throws CheckpointError listing every missing, unexpected and mis-shaped tensor at once; ConfigError when there is no subword tokenizer.
 */
export async function loadBolmo(source: BolmoSource, { seed = 0, onProgress, ...options }: LoadBolmoOptions = {}): Promise<BoundaryEmittingLM> {
  const { config, weights } = source;
  const trie = options.trie ?? (config.subwordVocabSize ? SuffixTrie.fromVocabulary(await findSubwords(source)) : undefined);
  const model = createBolmo(config, { ...options, trie, rng: weights ? undefined : new Rng(seed) });
  if (!weights) return model;
  try {
    const file = await weights.open();
    try {
      await loadParameters(model, file, { onProgress });
    } finally {
      await file.close();
    }
    return model;
  } catch (e) {
    model.dispose();
    throw e;
  }
}

type Named = Pick<BolmoSource, 'name' | 'config' | 'folder'>;

/**
 * The subword vocabulary of a model: a `tokenizer.json` in its folder, or the one its configuration names, in a folder or on the hub.
 * @throws ConfigError when there is none.
 */
export const findSubwords = async (source: Named): Promise<SubwordVocabulary> => readSubwords(await tokenizerFolder(source));

/** The subword tokenizer itself, which also cuts text. @throws ConfigError when there is none, or @huggingface/tokenizers is missing. */
export const findTokenizer = async (source: Named): Promise<SubwordTokenizer> => SubwordTokenizer.fromFolder(await tokenizerFolder(source));

/** The folder that a model's tokenizer is in. @throws ConfigError when there is none. */
export async function tokenizerFolder({ name, config, folder }: Named): Promise<string> {
  const named = config.tokenizer;
  const folders = [folder, ...(named ? [folder && resolve(folder, named), named] : [])].filter((f) => f !== undefined);
  const found = folders.find((f) => existsSync(join(f, 'tokenizer.json')));
  if (found) return found;
  if (named && /^[\w-][\w.-]*\/[\w.-]+$/.test(named)) return fetchRepository(named, async (files) => TOKENIZER_FILES.filter((f) => files.includes(f)), {});
  throw new ConfigError(`[findSubwords] ${name}: expected the subword tokenizer (tokenizer.json) in the model's folder or at ${JSON.stringify(named ?? null)} (tokenizer_config.original_identifier), found none. Hint: copy it beside the weights.`);
}

async function readSubwords(folder: string): Promise<SubwordVocabulary> {
  const file = join(folder, 'tokenizer.json');
  const json = parse(file, await readFile(file, 'utf8')) as unknown as TokenizerJson;
  const settings = join(folder, 'tokenizer_config.json');
  const { eos_token, pad_token } = existsSync(settings) ? parse(settings, await readFile(settings, 'utf8')) : {};
  return new SubwordVocabulary(json, { name: file, end: contentOf(eos_token), pad: contentOf(pad_token) });
}

/** A special token is its text, or an object with it. */
const contentOf = (token: unknown): string | undefined => (typeof token === 'string' ? token : (token as { content?: string } | null | undefined)?.content);

function parse(file: string, text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw new CheckpointError(`[findSubwords] ${file}: it is not JSON (${(cause as Error).message}). Hint: download it again.`, { cause });
  }
}
