import { Option, type Command } from 'commander';
import { BYTE_VOCABULARIES, ConfigError } from '@bytelm/core';
import { numberList, real } from '@bytelm/example-shared/cli';
import { addTrainCommand, type TrainOptions, type TrainParts, type TrainStart } from '@bytelm/example-shared/commands';
import { readConfigFile } from '@bytelm/example-shared/model';
import { openWindows, type TrainJob } from '@bytelm/example-shared/train';
import { findHNet, loadModel, saveConfig, saveModel, type HNetSource } from '../checkpoint.js';
import { resolveHNetConfig, type HNetConfig } from '../config.js';
import { HNET_PRESETS } from '../presets.js';
import { hnetOptimizer, type DecayRule } from '../train/parameter-groups.js';
import { checkSettings, defaultLrMultipliers, defaultRatioTargets, TRAIN_DEFAULTS as D, type TrainSettings } from '../train/settings.js';

interface HNetTrainOptions extends TrainOptions {
  lrMultipliers?: string;
  decayRule?: DecayRule;
  ratioTargets?: number[];
  ratioWeight?: number;
}

const PARTS: TrainParts<TrainSettings, HNetTrainOptions> = {
  program: 'hnet',
  description: 'train a model on your text, or train one further',
  examples: `
Examples:
  hnet train --preset demo --data books.txt --range 0:8042244 --valid-range 8042244:8310401 --steps 2000 --out runs/demo
  hnet train --resume --out runs/demo
  hnet train --init runs/demo --data verse.txt --steps 200 --lr 5e-4 --out runs/verse`,
  defaults: D,
  settingKeys: ['ratioTargets'],
  addOptions,
  next: (out) => `generate --model ${out} --prompt "The "`,
  fresh,
  resumed,
};

/** `hnet train` */
export const addTrainHNetCommand = (program: Command): void => addTrainCommand(program, PARTS);

function addOptions(command: Command): void {
  command
    .option('--preset <name>', `configuration to start from: ${Object.keys(HNET_PRESETS).join(', ')}`)
    .option('--config <file>', 'a configuration in the published JSON form')
    .option('--init <model>', 'start from the weights of a folder, file, or Hugging Face id')
    .option('--lr-multipliers <list>', 'of each stage, outermost first; auto: by the rule of the paper, none: 1 (default: auto)')
    .addOption(
      new Option('--decay-rule <name>', `what decays; matrices: all but vectors and embeddings, published: the published code's test to the letter (default: ${D.decayRule})`).choices(['matrices', 'published']),
    )
    .option('--ratio-targets <list>', "wanted positions per chunk of each stage (default: the preset's)", numberList)
    .option('--ratio-weight <number>', `weight of the ratio loss (default: ${D.ratioWeight})`, real(0));
}

/** Settings of a new run. */
async function fresh(options: HNetTrainOptions, given: Partial<TrainSettings>): Promise<TrainStart<TrainSettings>> {
  const preset = options.preset === undefined ? undefined : HNET_PRESETS[options.preset];
  if (options.preset !== undefined && !preset) throw new ConfigError(`[train] --preset ${options.preset}: expected one of ${Object.keys(HNET_PRESETS).join(', ')}.`);
  const source = await startingPoint(options, preset);
  const ratioTargets = options.ratioTargets ?? source.ratioTargets ?? defaultRatioTargets(source.config);
  return start(source, {
    ...D,
    ...given,
    data: options.data!,
    init: options.init ?? null,
    seed: options.seed,
    backend: options.backend,
    ratioTargets,
    lrMultipliers: multipliers(options.lrMultipliers, source.config, ratioTargets),
  });
}

/** Weights of `--init`, or initial ones for a preset or configuration. */
async function startingPoint({ init, preset: name, config }: HNetTrainOptions, preset: (typeof HNET_PRESETS)[string] | undefined): Promise<HNetSource> {
  if (init !== undefined) {
    const source = await findHNet(init, config);
    if (!source.weights) throw new ConfigError(`[train] --init ${init}: expected a model with weights, this preset has none. Hint: --preset ${init} starts it from scratch.`);
    return preset ? { ...source, config: preset.config, ratioTargets: preset.ratioTargets } : source;
  }
  if (config !== undefined) return { name: config, config: readConfigFile(config, resolveHNetConfig), ratioTargets: undefined, weights: null };
  const chosen = preset ?? HNET_PRESETS.demo!;
  return { name: name ?? 'demo', config: chosen.config, ratioTargets: chosen.ratioTargets, weights: null };
}

/** Settings of a run that goes on; what is given again on the command line replaces what was stored. */
function resumed(options: HNetTrainOptions, stored: TrainSettings, rawConfig: unknown, given: Partial<TrainSettings>): TrainStart<TrainSettings> {
  const config = resolveHNetConfig(rawConfig);
  const settings = { ...stored, ...given };
  if (options.lrMultipliers !== undefined) settings.lrMultipliers = multipliers(options.lrMultipliers, config, settings.ratioTargets);
  return start({ name: options.out, config, ratioTargets: settings.ratioTargets, weights: null }, settings);
}

function start(source: HNetSource, settings: TrainSettings): TrainStart<TrainSettings> {
  return { settings, name: source.name, rateNote: ` x ${settings.lrMultipliers.map((m) => m.toFixed(2)).join(', ')}`, job: () => jobOf(source, settings) };
}

async function jobOf(source: HNetSource, settings: TrainSettings): Promise<TrainJob> {
  const { config } = source;
  checkSettings(settings, config);
  const model = await loadModel(source, { seed: settings.seed, ratioTargets: settings.ratioTargets, ratioLossWeight: settings.ratioWeight });
  return {
    model,
    vocabulary: BYTE_VOCABULARIES.hnet,
    open: () => openWindows(settings, BYTE_VOCABULARIES.hnet),
    optimizer: () => hnetOptimizer(model, config, settings),
    saveConfig: (folder) => saveConfig(folder, config),
    save: (folder) => saveModel(folder, model, config),
    dispose: () => model.dispose(),
  };
}

function multipliers(text: string | undefined, config: HNetConfig, ratioTargets: readonly number[]): number[] {
  if (text === undefined || text === 'auto') return defaultLrMultipliers(config, ratioTargets);
  if (text === 'none') return config.d_model.map(() => 1);
  return numberList(text);
}
