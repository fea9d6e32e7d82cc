import { isNode } from '../backend/environment.js';
import { CheckpointError } from '../errors.js';
import { openBytes } from './byte-source.js';
import { chooseFiles, shardsOf } from './choose-files.js';
import { parseConfig } from './config-json.js';
import { fetchRepository, listRepository, type HubOptions } from './hub-repository.js';
import { openCheckpoint } from './open-checkpoint.js';
import type { TensorSource } from './tensor-source.js';

export interface PretrainedOptions extends HubOptions {
  /** The weight file, where a repository has several. Default: safetensors before torch, an index before single files. */
  weights?: string | undefined;
  /** Further files to download beside configuration and weights where the repository has them, e.g. `tokenizer.json`. */
  alsoFetch?: readonly string[] | undefined;
  /** See `openTorchCheckpoint`. */
  skipForeign?: boolean | undefined;
}

/** A published model, opened for reading. */
export interface PretrainedFiles {
  /** As it was asked for. */
  name: string;
  /** `config.json` or `params.json`, with Python's infinities as numbers; `undefined` when there is none. */
  config: Record<string, unknown> | undefined;
  tensors: TensorSource;
  /** Where the files lie; `undefined` when they are read over the network. */
  folder: string | undefined;
  close(): Promise<void>;
}

/**
 * Opens a published model: a local folder or weight file, or a repository of the Hugging Face hub (`owner/name`), which is downloaded to
 * a cache first (interrupted downloads continue; the cache is that of Hugging Face's own tools). In a browser, and with `cacheDir: null`,
 * nothing is stored and tensors are read over the network by range.
 *
 * Downloading in Node needs the optional package `@huggingface/hub`.
 *
 * @throws CheckpointError when the model or its weights are not found, or a download fails.
 * @example
 * const { config, tensors } = await openPretrained('state-spaces/mamba2-130m', { onProgress: ({ file, loaded, total }) => console.log(file, loaded / total) });
 */
export async function openPretrained(idOrPath: string, options: PretrainedOptions = {}): Promise<PretrainedFiles> {
  if (isNode()) {
    const { stat } = await import('node:fs/promises');
    const found = await stat(idOrPath).catch(() => undefined);
    if (found) return openLocal(idOrPath, idOrPath, found.isDirectory(), options);
  }
  if (!/^[\w.-]+\/[\w.-]+$/.test(idOrPath)) {
    throw new CheckpointError(`[openPretrained] ${idOrPath}: expected a folder, a weight file or a repository (owner/name), found no such file. Hint: check the path.`);
  }
  if (!isNode() || options.cacheDir === null) return openRemote(idOrPath, options);
  const folder = await fetchRepository(idOrPath, (files, read) => neededFiles(idOrPath, files, read, options), options);
  return openLocal(idOrPath, folder, true, options);
}

async function openLocal(name: string, path: string, isFolder: boolean, options: PretrainedOptions): Promise<PretrainedFiles> {
  const { readdir, readFile } = await import('node:fs/promises');
  const { dirname, join } = await import('node:path');
  const folder = isFolder ? path : dirname(path);
  const files = (await readdir(folder)).sort();
  const { configs, weights } = choose(name, files, isFolder ? options.weights : undefined, !isFolder);
  const config = configs.length ? parseConfig(await readFile(join(folder, configs[0]!), 'utf8'), join(folder, configs[0]!)) : undefined;
  const tensors = await openCheckpoint(isFolder ? join(folder, weights!) : path, options);
  return { name, config, tensors, folder, close: () => tensors.close() };
}

async function openRemote(id: string, options: PretrainedOptions): Promise<PretrainedFiles> {
  const { files, urlOf, headers } = await listRepository(id, options);
  const { configs, weights } = choose(id, files.map((f) => f.path), options.weights);
  const access = { fetch: options.fetch, headers };
  const read = async (file: string): Promise<string> => {
    const bytes = await openBytes(urlOf(file), access);
    return new TextDecoder().decode(await bytes.read(0, bytes.size));
  };
  const config = configs.length ? parseConfig(await read(configs[0]!), `${id}/${configs[0]}`) : undefined;
  const tensors = await openCheckpoint(urlOf(weights!), { ...access, skipForeign: options.skipForeign });
  return { name: id, config, tensors, folder: undefined, close: () => tensors.close() };
}

function choose(name: string, files: readonly string[], wanted: string | undefined, anyWeights = false) {
  const { configs, weights, candidates } = chooseFiles(files);
  const chosen = wanted ?? weights;
  if (!anyWeights && (!chosen || !files.includes(chosen))) {
    const what = wanted ? `no ${wanted}` : candidates.length ? `${candidates.length} weight files (${candidates.slice(0, 4).join(', ')})` : 'no weights';
    throw new CheckpointError(`[openPretrained] ${name}: expected one set of weights (*.safetensors, *.pt, *.bin), got ${what}. Hint: ${candidates.length ? 'choose one with `weights`.' : 'check the name; it has no file that can be read.'}`);
  }
  return { configs: configs.filter((c) => c !== 'generation_config.json'), weights: chosen };
}

/** Everything to download: configurations, weights and, for an index, its shards. */
async function neededFiles(name: string, files: readonly string[], read: (file: string) => Promise<string>, { weights: wanted, alsoFetch = [] }: PretrainedOptions): Promise<string[]> {
  const { configs } = chooseFiles(files);
  const { weights } = choose(name, files, wanted);
  return [...configs, weights!, ...(weights!.endsWith('.json') ? shardsOf(await read(weights!)) : []), ...alsoFetch.filter((f) => files.includes(f))];
}
