import { ConfigError } from '@bytelm/core';
import { loadParameters, openPretrained, type PretrainedFiles, type PretrainedOptions } from '@bytelm/core/io';
import { SubwordTokenizer } from '@bytelm/distill';
import { fromHfConfig, type SourceConfig } from './config.js';
import { createSourceLM, type SourceLM } from './model.js';

/** A published model before its weights are read. */
export interface SourceFiles {
  name: string;
  config: SourceConfig;
  files: PretrainedFiles;
}

/**
 * Opens a folder, a weight file or a repository of the Hugging Face hub.
 * @throws CheckpointError, ConfigError
 */
export async function openSource(idOrPath: string, options: PretrainedOptions = {}): Promise<SourceFiles> {
  const files = await openPretrained(idOrPath, { alsoFetch: ['tokenizer.json', 'tokenizer_config.json'], ...options });
  try {
    if (!files.config) throw new ConfigError(`[openSource] ${idOrPath}: expected a config.json beside the weights, there is none.`);
    return { name: idOrPath, config: fromHfConfig(files.config), files };
  } catch (e) {
    await files.close();
    throw e instanceof ConfigError ? new ConfigError(`${idOrPath}: ${e.message}`) : e;
  }
}

/**
 * The model with its weights. Closes the files.
 * @throws CheckpointError listing every tensor that does not fit.
 */
export async function loadSourceLM({ config, files }: SourceFiles, onProgress?: (done: number, total: number, name: string) => void): Promise<SourceLM> {
  const model = createSourceLM(config);
  try {
    // Old exports store rotary frequencies, and some store a tied head once more.
    await loadParameters(model, files.tensors, { onProgress, allowUnexpected: (n) => n.endsWith('rotary_emb.inv_freq') });
    return model;
  } catch (e) {
    model.dispose();
    throw e;
  } finally {
    await files.close();
  }
}

/**
 * The tokenizer that lies beside a model.
 * @throws ConfigError when there is none, or it has more tokens than the model has rows.
 */
export async function loadTokenizer({ name, config, files }: SourceFiles): Promise<SubwordTokenizer> {
  if (!files.folder) throw new ConfigError(`[loadTokenizer] ${name}: a tokenizer is read from a folder, the model is read over the network. Hint: leave cacheDir at its default.`);
  const tokenizer = await SubwordTokenizer.fromFolder(files.folder);
  tokenizer.vocabulary.checkFits(config.vocabSize, name);
  return tokenizer;
}

/** What starts a text: the model's begin token, or the one that ends documents, which is what OLMo was trained with. */
export function startToken({ bos, eos }: SourceConfig, tokenizer: SubwordTokenizer): number {
  const id = bos ?? tokenizer.vocabulary.endId ?? eos[0];
  if (id === undefined) throw new ConfigError('[startToken] neither the configuration nor the tokenizer names a token that starts a text.');
  return id;
}
