import type { Command } from 'commander';
import { createProgress, startBackend, type SharedOptions } from '@bytelm/example-shared/cli';
import type { SubwordTokenizer } from '@bytelm/distill';
import type { SourceConfig } from '../config.js';
import type { SourceLM } from '../model.js';
import { loadSourceLM, loadTokenizer, openSource } from '../source.js';

export interface SourceOptions extends SharedOptions {
  model: string;
}

export const withModelOption = (command: Command): Command =>
  command.requiredOption('--model <name>', 'a folder with config.json, weights and tokenizer.json, or a Hugging Face id such as allenai/OLMo-2-0425-1B');

export interface ReadyModel {
  model: SourceLM;
  tokenizer: SubwordTokenizer;
  config: SourceConfig;
}

/** Starts the backend and loads model and tokenizer, saying on standard error what they are. */
export async function startSource({ model: name, backend }: SourceOptions): Promise<ReadyModel> {
  const source = await openSource(name);
  const { config } = source;
  if (config.unknownKeys.length) process.stderr.write(`config.json has keys that mean nothing here: ${config.unknownKeys.join(', ')}\n`);
  const tokenizer = await loadTokenizer(source).catch(async (e: unknown) => {
    await source.files.close();
    throw e;
  });
  await startBackend(backend);
  const progress = createProgress({ total: source.files.tensors.names.length, unit: 'tensor' });
  try {
    const model = await loadSourceLM(source, (done, _total, tensor) => progress.update(done, tensor));
    return { model, tokenizer, config };
  } finally {
    progress.stop();
  }
}
