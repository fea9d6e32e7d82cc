import { fileURLToPath } from 'node:url';
import { BYTE_VOCABULARIES, type HierarchicalLM, type WeightFormat } from '@bytelm/core';
import { EntropyPatcher } from '@bytelm/patching';
import { chunkRow, type LoadedModel, type ModelFamily, type ModelOptions } from '@bytelm/example-shared/model';
import { Option, type Command } from 'commander';
import { findBLT, loadBLT, type BLTSource, type HashTables } from './checkpoint/index.js';
import { withEntropies } from './entropy-row.js';
import { withChosenPatcher, withPatcherOptions, type PatcherChoice } from './patcher-options.js';

/** The model that ships with this example, with its entropy model in `entropy_model/`. */
export const TINY_MODEL = fileURLToPath(new URL('../models/tiny', import.meta.url));

/** Where and how weights are kept. */
interface StorageChoice {
  hashTables?: HashTables;
  weights?: WeightFormat;
  /** Set by commands that take bytes back (`speculate`): positions beyond their windows that caches keep. */
  cacheSlack?: number;
}

export type BLTModelOptions = ModelOptions & PatcherChoice & StorageChoice;

/** A model by name, and how its text is to be cut. */
export interface ChosenBLT extends BLTSource {
  choice: PatcherChoice & StorageChoice;
}

/** BLTs for the commands that every example has. */
export const BLT: ModelFamily<ChosenBLT, BLTModelOptions> = {
  program: 'blt',
  vocabulary: BYTE_VOCABULARIES.blt,
  addOptions,
  find: async (options) => ({ ...(await findBLT(options.model ?? TINY_MODEL, options.config)), choice: options }),
  async load({ choice, ...found }, { seed }) {
    const { source, entropyModel } = await withChosenPatcher(found, choice);
    const { hashTables, weights, cacheSlack } = choice;
    return withEntropyModel(await loadBLT(source, { seed, cacheSlack, ...(hashTables && { hashTables }), ...(weights && { weights }), ...(entropyModel && { entropyModel }) }));
  },
  nameOf: (source) => (source.name === TINY_MODEL ? 'tiny (comes with this example)' : source.name),
  stages: () => 1,
  pageNote: 'A patch ends where the rule of the patcher says so; by entropies, before a byte whose entropy is above the threshold.',
  chunkRow: async (model, _source, text, label) => withEntropies(model as HierarchicalLM, await chunkRow(model, BYTE_VOCABULARIES.blt, text, label)),
};

function addOptions(command: Command): void {
  withPatcherOptions(command)
    .addOption(new Option('--weights <format>', 'how matrices are kept; bf16 takes half the memory, published weights lose nothing; default: float32').choices(['float32', 'bf16']))
    .addOption(new Option('--hash-tables <where>', 'where n-gram tables are kept: device, memory (as stored), bf16 (rounded), file (rows are read when needed); default: device').choices(['device', 'memory', 'bf16', 'file']));
}

/** The model, which frees its entropy model when it is freed. */
function withEntropyModel(model: HierarchicalLM): LoadedModel {
  const { chunker } = model.parts;
  if (!(chunker instanceof EntropyPatcher)) return model;
  const dispose = model.dispose.bind(model);
  model.dispose = () => {
    dispose();
    chunker.model.dispose();
  };
  return model;
}
