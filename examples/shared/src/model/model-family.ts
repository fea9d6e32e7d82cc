import type { Command } from 'commander';
import type { ByteVocabulary, SequenceLM } from '@bytelm/core';
import { compact } from '../cli/format.js';
import type { SharedOptions } from '../cli/shared-options.js';
import { startBackend } from '../cli/start.js';
import type { ChunkRow } from '../page/index.js';
import type { ModelSource } from './find-model.js';

export interface ModelOptions extends SharedOptions {
  model?: string;
  config?: string;
}

/** A byte model that is ready. */
export type LoadedModel = SequenceLM;

/** What the commands need to know of an example's models. `O`: the example's own options of every command that takes a model. */
export interface ModelFamily<S extends ModelSource = ModelSource, O extends ModelOptions = ModelOptions> {
  /** The command line's name, e.g. `hnet`. */
  program: string;
  vocabulary: ByteVocabulary;
  /** Adds options besides `--model` and `--config`. */
  addOptions?(command: Command): void;
  /** The model the options name; without `--model` the one that ships. */
  find(options: Partial<O>): Promise<S>;
  /** The model with its weights; a source without any gets initial ones, drawn from the seed. The backend has started. */
  load(source: S, options: { seed: number }): Promise<LoadedModel>;
  /** What messages call the source. */
  nameOf(source: S): string;
  /** How many stages cut the text; 0 where nothing does. */
  stages(source: S): number;
  /** Below the chunks page: when a chunk starts, where that is not a probability above one half. */
  pageNote?: string;
  /** How a model cuts a text, ready to be drawn. */
  chunkRow(model: LoadedModel, source: S, text: Uint8Array, label: string): Promise<ChunkRow>;
}

/** `--model` and `--config`, and what the family adds. */
export function withModelOptions<S extends ModelSource, O extends ModelOptions>(command: Command, family: ModelFamily<S, O>): Command {
  command
    .option('--model <name>', 'a folder, a .safetensors or .pt file, a preset, or a Hugging Face id (default: the small model that comes with this example)')
    .option('--config <file>', 'configuration to use in place of the one that belongs to the model');
  family.addOptions?.(command);
  return command;
}

/** Starts the backend and loads the model, saying on standard error what they are. */
export async function startModel<S extends ModelSource, O extends ModelOptions>(family: ModelFamily<S, O>, options: O): Promise<{ model: LoadedModel; source: S }> {
  const source = await family.find(options);
  await startBackend(options.backend);
  const model = await family.load(source, { seed: options.seed });
  const untrained = source.weights ? '' : '; it has no trained weights, so these are random and the text will be noise';
  process.stderr.write(`model: ${family.nameOf(source)}, ${compact(model.numParameters)} parameters${untrained}\n`);
  return { model, source };
}
