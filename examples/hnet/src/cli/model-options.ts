import type { Command } from 'commander';
import type { SequenceLM } from '@bytelm/core';
import { findModel, loadModel, TINY_MODEL, type ModelSource } from '../checkpoint.js';
import { compact } from './format.js';
import type { SharedOptions } from './shared-options.js';
import { startBackend } from './start.js';

export interface ModelOptions extends SharedOptions {
  model: string;
  config?: string;
}

/** `--model` and `--config`. */
export const withModelOptions = (command: Command): Command =>
  command
    .option('--model <name>', 'a folder, a .safetensors or .pt file, a preset, or a Hugging Face id (default: the small model that comes with this example)')
    .option('--config <file>', 'configuration to use in place of the one that belongs to the model');

/** The model the options name; without `--model` the one that ships. */
export function sourceOf(options: Partial<ModelOptions>): Promise<ModelSource> {
  return findModel(options.model ?? TINY_MODEL, options.config);
}

/** Starts the backend and loads the model, saying on standard error what they are. */
export async function startModel(options: ModelOptions): Promise<{ model: SequenceLM; source: ModelSource }> {
  const source = await sourceOf(options);
  await startBackend(options.backend);
  const model = await loadModel(source, { seed: options.seed });
  const name = source.name === TINY_MODEL ? 'tiny (comes with this example)' : source.name;
  const untrained = source.weights ? '' : '; it has no trained weights, so these are random and the text will be noise';
  process.stderr.write(`model: ${name}, ${compact(model.numParameters)} parameters${untrained}\n`);
  return { model, source };
}
