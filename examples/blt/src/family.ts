import { fileURLToPath } from 'node:url';
import { BYTE_VOCABULARIES, SequenceContext, type HierarchicalLM } from '@bytelm/core';
import { EntropyPatcher } from '@bytelm/patching';
import { chunkRow, type LoadedModel, type ModelFamily, type ModelOptions } from '@bytelm/example-shared/model';
import type { ChunkRow } from '@bytelm/example-shared/page';
import { Option, type Command } from 'commander';
import { findBLT, loadBLT, type BLTSource, type HashTables } from './checkpoint/index.js';
import { withChosenPatcher, withPatcherOptions, type PatcherChoice } from './patcher-options.js';

/** The model that ships with this example, with its entropy model in `entropy_model/`. */
export const TINY_MODEL = fileURLToPath(new URL('../models/tiny', import.meta.url));

export type BLTModelOptions = ModelOptions & PatcherChoice & { hashTables?: HashTables };

/** A model by name, and how its text is to be cut. */
export interface ChosenBLT extends BLTSource {
  choice: PatcherChoice & { hashTables?: HashTables };
}

/** BLTs for the commands that every example has. */
export const BLT: ModelFamily<ChosenBLT, BLTModelOptions> = {
  program: 'blt',
  vocabulary: BYTE_VOCABULARIES.blt,
  addOptions,
  find: async (options) => ({ ...(await findBLT(options.model ?? TINY_MODEL, options.config)), choice: options }),
  async load({ choice, ...found }, { seed }) {
    const { source, entropyModel } = await withChosenPatcher(found, choice);
    const { hashTables } = choice;
    return withEntropyModel(await loadBLT(source, { seed, ...(hashTables && { hashTables }), ...(entropyModel && { entropyModel }) }));
  },
  nameOf: (source) => (source.name === TINY_MODEL ? 'tiny (comes with this example)' : source.name),
  stages: () => 1,
  pageNote: 'A patch ends where the rule of the patcher says so; by entropies, before a byte whose entropy is above the threshold.',
  chunkRow: async (model, _source, text, label) => withEntropies(model as HierarchicalLM, await chunkRow(model, BYTE_VOCABULARIES.blt, text, label)),
};

function addOptions(command: Command): void {
  withPatcherOptions(command).addOption(
    new Option('--hash-tables <where>', 'where n-gram tables are kept: device, memory (as stored), bf16 (rounded), file (rows are read when needed); default: device').choices(['device', 'memory', 'bf16', 'file']),
  );
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

/** A row with how uncertain the entropy model was about each byte before it came. */
async function withEntropies({ parts: { chunker } }: HierarchicalLM, row: ChunkRow): Promise<ChunkRow> {
  if (!(chunker instanceof EntropyPatcher)) return row;
  const { bos, eos, offset } = BYTE_VOCABULARIES.blt;
  const ids = Int32Array.from(row.bytes, (b) => (b === 0xfe ? bos : b === 0xff ? eos : b + offset));
  const ctx = new SequenceContext(1, ids.length, { ids });
  const entropies = await chunker.entropies(ctx);
  ctx.dispose();
  // The entropy at i is about byte i + 1: drawn below the byte it is about. Nothing is known about the first one.
  const values = Array.from(ids, (_, i) => (i ? entropies[i - 1]! : NaN));
  const { threshold, monotonic } = chunker.rule;
  return { ...row, curve: { name: 'entropy', unit: 'nats', values, ...(!monotonic && { threshold }) } };
}
