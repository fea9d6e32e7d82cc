import { Option, type Command } from 'commander';
import { BYTE_VOCABULARIES, ConfigError } from '@bytelm/core';
import { addTrainCommand, type TrainOptions, type TrainParts, type TrainStart } from '@bytelm/example-shared/commands';
import { readConfigFile } from '@bytelm/example-shared/model';
import { checkRunSettings, openWindows, type TrainJob } from '@bytelm/example-shared/train';
import { findEntropyModel, loadEntropyModel, saveEntropyModel, type EntropyModelSource } from '../checkpoint/index.js';
import { parseEntropyConfig, type EntropyModelConfig, type ParsedConfig } from '../config/index.js';
import { ENTROPY_PRESETS } from '../presets.js';
import { optimizerOf, type DecayRule } from '../train/parameter-groups.js';
import { ENTROPY_DEFAULTS as D, type EntropyTrainSettings } from '../train/settings.js';

interface EntropyTrainOptions extends TrainOptions {
  decayRule?: DecayRule;
}

const PARTS: TrainParts<EntropyTrainSettings, EntropyTrainOptions> = {
  program: 'blt',
  command: 'train-entropy',
  description: 'train the small byte model whose uncertainty decides where patches begin',
  examples: `
Examples:
  blt train-entropy --data books.txt --range 0:8042244 --valid-range 8042244:8310401 --steps 2000 --out runs/entropy
  blt train-entropy --resume --out runs/entropy
  blt patch --bytes-per-patch 4.5 --calibrate-only --entropy-model runs/entropy --data books.txt`,
  defaults: D,
  addOptions(command) {
    command
      .option('--preset <name>', `configuration to start from: ${Object.keys(ENTROPY_PRESETS).join(', ')} (default: entropy-tiny)`)
      .option('--config <file>', 'a configuration in a published form')
      .option('--init <model>', 'start from the weights of a folder, file, or Hugging Face id')
      .addOption(new Option('--decay-rule <name>', `what decays; matrices: all but norms and embeddings, all: as the published code (default: ${D.decayRule})`).choices(['matrices', 'all']));
  },
  next: (out) => `patch --bytes-per-patch 4.5 --calibrate-only --entropy-model ${out} --data …`,
  async fresh(options, given) {
    const source = await startingPoint(options);
    return start(source, { ...D, ...given, data: options.data!, init: options.init ?? null, seed: options.seed, backend: options.backend });
  },
  resumed: (options, stored, config, given) => start(untrained(options.out, parseEntropyConfig(config)), { ...stored, ...given }),
};

/** `blt train-entropy` */
export const addTrainEntropyCommand = (program: Command): void => addTrainCommand(program, PARTS);

async function startingPoint({ init, preset, config }: EntropyTrainOptions): Promise<EntropyModelSource> {
  if (init !== undefined) {
    const source = await findEntropyModel(init, config);
    if (!source.weights) throw new ConfigError(`[train-entropy] --init ${init}: expected a model with weights, this preset has none. Hint: --preset ${init} starts it from scratch.`);
    return source;
  }
  if (config !== undefined) return untrained(config, readConfigFile(config, (raw) => parseEntropyConfig(raw)));
  const name = preset ?? 'entropy-tiny';
  if (!Object.hasOwn(ENTROPY_PRESETS, name)) throw new ConfigError(`[train-entropy] --preset ${name}: expected one of ${Object.keys(ENTROPY_PRESETS).join(', ')}.`);
  return findEntropyModel(name);
}

const untrained = (name: string, parsed: ParsedConfig<EntropyModelConfig>): EntropyModelSource => ({ name, config: parsed.config, parsed, weights: null });

const start = (source: EntropyModelSource, settings: EntropyTrainSettings): TrainStart<EntropyTrainSettings> => ({ settings, name: source.name, job: () => jobOf(source, settings) });

async function jobOf(source: EntropyModelSource, settings: EntropyTrainSettings): Promise<TrainJob> {
  checkRunSettings(settings);
  const { config } = source;
  const model = await loadEntropyModel(source, { seed: settings.seed });
  return {
    model,
    vocabulary: BYTE_VOCABULARIES.blt,
    open: () => openWindows(settings, BYTE_VOCABULARIES.blt),
    optimizer: () => optimizerOf(model, settings),
    saveConfig: (folder) => saveEntropyModel(folder, model, config),
    save: (folder) => saveEntropyModel(folder, model, config),
    dispose: () => model.dispose(),
  };
}
