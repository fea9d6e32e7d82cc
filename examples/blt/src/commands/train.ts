import { Option, type Command } from 'commander';
import { BYTE_VOCABULARIES, ConfigError } from '@bytelm/core';
import { real, numberList, whole } from '@bytelm/example-shared/cli';
import { addTrainCommand, type TrainOptions, type TrainParts, type TrainStart } from '@bytelm/example-shared/commands';
import { checkRunSettings, type TrainJob } from '@bytelm/example-shared/train';
import type { EntropyModel } from '@bytelm/latent-transformer';
import { findBLT, findEntropyModel, loadBLT, loadEntropyModel, readBLTConfig, saveBLT, type BLTSource } from '../checkpoint/index.js';
import { withChosenPatcher, withPatcherOptions, type PatcherChoice } from '../patcher-options.js';
import { BLT_PRESETS } from '../presets.js';
import { calibrateOn } from '../train/calibrate-on.js';
import { openRows } from '../train/open-rows.js';
import { optimizerOf } from '../train/parameter-groups.js';
import { BLT_DEFAULTS as D, type BLTTrainSettings } from '../train/settings.js';

interface BLTTrainOptions extends TrainOptions, PatcherChoice, Partial<Omit<BLTTrainSettings, keyof TrainOptions>> {
  bytesPerPatch?: number;
}

const PARTS: TrainParts<BLTTrainSettings, BLTTrainOptions> = {
  program: 'blt',
  description: 'train a model on your text, or train one further',
  examples: `
Examples:
  blt train --data books.txt --range 0:8042244 --valid-range 8042244:8310401 --entropy-model runs/entropy --bytes-per-patch 4.5 --steps 2000 --out runs/blt
  blt train --patcher space --data books.txt --steps 2000 --out runs/space
  blt train --packing documents --data texts/ --documents files --entropy-model runs/entropy --threshold 1.34 --out runs/packed
  blt train --resume --out runs/blt`,
  defaults: D,
  addOptions,
  next: (out) => `generate --model ${out} --prompt "The "`,
  fresh,
  resumed: (options, stored, _config, given) => start(() => findBLT(options.out), options.out, {}, { ...stored, ...given }),
};

/** `blt train` */
export const addTrainBLTCommand = (program: Command): void => addTrainCommand(program, PARTS);

function addOptions(command: Command): void {
  command
    .option('--preset <name>', `configuration to start from: ${Object.keys(BLT_PRESETS).join(', ')} (default: blt-tiny)`)
    .option('--config <file>', 'a configuration in a published form')
    .option('--init <model>', 'start from the weights of a folder, file, or Hugging Face id');
  withPatcherOptions(command)
    .option('--bytes-per-patch <number>', 'entropy: set the threshold to this mean length on the training text; strided: the length', real(1))
    .addOption(new Option('--packing <name>', `windows: rows of equally many bytes; documents: rows of equally many patches, as in the paper (default: ${D.packing})`).choices(['windows', 'documents']))
    .option('--patches <number>', `documents: patches of a row (default: ${D.patches})`, whole(2))
    .option('--row-bytes <number>', `documents: bytes of a row at most (default: ${D.rowBytes})`, whole(2))
    .addOption(new Option('--documents <kind>', `documents: what one is, a piece of the text or a file (default: ${D.documents})`).choices(['pieces', 'files']))
    .option('--document-bytes <number>', `documents: bytes of a piece; it ends with a paragraph (default: ${D.documentBytes})`, whole(16))
    .addOption(new Option('--prepared [folder]', 'documents: take the patches that `patch` made, beside the files or in this folder (default: patches are made on the way)').preset(''))
    .option('--buffer <rows>', `documents: rows that are shuffled at a time (default: ${D.buffer})`, whole())
    .option('--weights <list>', 'documents: how often rows come from each of --data', numberList)
    .addOption(new Option('--decay-rule <name>', `what decays; matrices: all but norms, embeddings and hash tables, all: as the published code (default: ${D.decayRule})`).choices(['matrices', 'all']))
    .option('--global-lr <factor>', `multiplies the rate of the main network (default: ${D.globalLr})`, real(0));
}

async function fresh(options: BLTTrainOptions, given: Partial<BLTTrainSettings>): Promise<TrainStart<BLTTrainSettings>> {
  const { preset = 'blt-tiny', init, config } = options;
  if (!Object.hasOwn(BLT_PRESETS, preset)) throw new ConfigError(`[train] --preset ${preset}: expected one of ${Object.keys(BLT_PRESETS).join(', ')}.`);
  const source = async (): Promise<BLTSource> => {
    if (init !== undefined) {
      const found = await findBLT(init, config);
      if (!found.weights) throw new ConfigError(`[train] --init ${init}: expected a model with weights, this preset has none. Hint: --preset ${init} starts it from scratch.`);
      return found;
    }
    // A preset's published weights are for --init; here it is a size to start from.
    if (config === undefined) return { ...(await findBLT(preset)), weights: null, entropyWeights: null };
    const parsed = readBLTConfig(config);
    return { name: config, config: parsed.config, parsed, weights: null, entropyWeights: null };
  };
  return start(source, init ?? config ?? preset, options, { ...D, ...given, data: options.data!, init: init ?? null, seed: options.seed, backend: options.backend });
}

function start(find: () => Promise<BLTSource>, name: string, choice: PatcherChoice & { bytesPerPatch?: number }, settings: BLTTrainSettings): TrainStart<BLTTrainSettings> {
  return { settings, name, ...(settings.globalLr !== 1 && { rateNote: ` (main network x ${settings.globalLr})` }), job: () => jobOf(find, choice, settings) };
}

async function jobOf(find: () => Promise<BLTSource>, { bytesPerPatch, ...choice }: PatcherChoice & { bytesPerPatch?: number }, settings: BLTTrainSettings): Promise<TrainJob> {
  checkRunSettings(settings);
  const size = choice.patcher === 'strided' && bytesPerPatch !== undefined ? { patchSize: Math.round(bytesPerPatch) } : {};
  const { source, entropyModel } = await withChosenPatcher(await find(), { ...size, ...choice });
  const byEntropy = source.config.patching.mode === 'entropy';
  if (byEntropy && !entropyModel && !source.weights) {
    throw new ConfigError('[train] patches by entropies need a trained entropy model. Hint: --entropy-model DIR (train-entropy makes one), or --patcher space.');
  }
  if (byEntropy && bytesPerPatch !== undefined) {
    const own = entropyModel ?? (await loadEntropyModel(await findEntropyModel(source.name)));
    const found = await calibrateOn(own, source.config.patching, settings, bytesPerPatch);
    process.stderr.write(`threshold ${found.threshold.toFixed(4)} nats: ${found.bytesPerChunk.toFixed(2)} bytes per patch\n`);
    source.config = { ...source.config, patching: { ...source.config.patching, threshold: found.threshold, patchSize: bytesPerPatch } };
    if (!entropyModel) own.dispose();
  }
  const { config, parsed } = source;
  const model = await loadBLT(source, { seed: settings.seed, ...(entropyModel && { entropyModel }) });
  // In the layout that the configuration came in; presets in the original one.
  const save = (folder: string) => saveBLT(folder, model, config, { format: parsed.format, source: parsed });
  return {
    model,
    vocabulary: BYTE_VOCABULARIES.blt,
    open: () => openRows(settings, model.parts.chunker),
    optimizer: () => optimizerOf(model, settings),
    // With the initial weights: a folder that can be resumed from the beginning.
    saveConfig: save,
    save,
    dispose: () => {
      model.dispose();
      (model.parts.chunker as { model?: EntropyModel }).model?.dispose();
    },
  };
}
