import { BYTE_VOCABULARIES } from '@bytelm/core';
import { chunkRow, type ModelFamily, type ModelOptions } from '@bytelm/example-shared/model';
import { findHNet, loadModel, TINY_MODEL, type HNetSource } from './checkpoint.js';
import { numStages } from './model.js';

/** H-Nets for the commands that every example has. */
export const HNET: ModelFamily<HNetSource> = {
  program: 'hnet',
  vocabulary: BYTE_VOCABULARIES.hnet,
  find: sourceOf,
  load: loadModel,
  nameOf: (source) => (source.name === TINY_MODEL ? 'tiny (comes with this example)' : source.name),
  stages: ({ config }) => numStages(config),
  chunkRow: (model, _, text, label) => chunkRow(model, BYTE_VOCABULARIES.hnet, text, label),
};

/** The model the options name; without `--model` the one that ships. */
export function sourceOf(options: Partial<ModelOptions>): Promise<HNetSource> {
  return findHNet(options.model ?? TINY_MODEL, options.config);
}
