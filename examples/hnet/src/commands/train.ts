import { Option, type Command } from 'commander';
import { ConfigError } from '@bytelm/core';
import { createProgress, type Progress } from '../cli/progress.js';
import { compact, count } from '../cli/format.js';
import { withSharedOptions, type SharedOptions } from '../cli/shared-options.js';
import { startBackend } from '../cli/start.js';
import { breathe, stopSignal } from '../cli/stop-signal.js';
import { byteRange, numberList, real, whole } from '../cli/values.js';
import { findModel, loadModel, type ModelSource } from '../checkpoint.js';
import type { HNetConfig } from '../config.js';
import { readConfigFile } from '../read-config.js';
import { HNET_PRESETS } from '../presets.js';
import { defaultLrMultipliers, defaultRatioTargets, TRAIN_DEFAULTS as D, type TrainSettings } from '../train/settings.js';
import { readRunFiles, trainRun, type TrainRunEvent } from '../train/train-run.js';

interface TrainOptions extends SharedOptions, Partial<Omit<TrainSettings, 'seed' | 'backend' | 'lrMultipliers' | 'init'>> {
  preset?: string;
  config?: string;
  init?: string;
  out: string;
  resume?: boolean;
  stopAt?: number;
  lrMultipliers?: string;
  json?: boolean;
}

const EXAMPLES = `
Examples:
  hnet train --preset demo --data books.txt --range 0:8042244 --valid-range 8042244:8310401 --steps 2000 --out runs/demo
  hnet train --resume --out runs/demo
  hnet train --init runs/demo --data verse.txt --steps 200 --lr 5e-4 --out runs/verse

The folder then holds model.safetensors and config.json (published names), log.jsonl, loss.svg, run.json, and the newest
checkpoints. Ctrl-C saves and stops; --resume takes every setting from the run (options given again replace theirs) and continues bit for bit on the same backend.`;

/** `hnet train` */
export function addTrainCommand(program: Command): void {
  const command = program.command('train').description('train a model on your text, or train one further').addHelpText('after', EXAMPLES);
  command
    .option('--preset <name>', `configuration to start from: ${Object.keys(HNET_PRESETS).join(', ')}`)
    .option('--config <file>', 'a configuration in the published JSON form')
    .option('--init <model>', 'start from the weights of a folder, file, or Hugging Face id')
    .option('--data <path...>', 'files and folders of text')
    .option('--range <start:end>', 'bytes of the data to train on (default: all but the held-out part)', byteRange)
    .option('--valid-data <path...>', 'held-out files and folders')
    .option('--valid-range <start:end>', 'held-out bytes (default: the last 5 %, at most 256 KiB)', byteRange)
    .requiredOption('--out <folder>', 'where the run is kept')
    .option('--resume', 'continue the run in --out')
    .option('--stop-at <step>', 'save and stop after this step, as Ctrl-C would', whole(0))
    .option('--steps <number>', `updates of the whole run (default: ${D.steps})`, whole())
    .option('--batch <rows>', `rows of a batch (default: ${D.batch})`, whole())
    .option('--length <bytes>', `bytes of a row (default: ${D.length})`, whole(2))
    .option('--accumulate <batches>', `batches of an update (default: ${D.accumulate})`, whole())
    .option('--lr <rate>', `highest learning rate, before the multipliers (default: ${D.lr})`, real(0))
    .option('--lr-multipliers <list>', 'of each stage, outermost first; auto: by the rule of the paper, none: 1 (default: auto)')
    .addOption(new Option('--schedule <name>', `how the rate moves (default: ${D.schedule})`).choices(['wsd', 'cosine', 'constant']))
    .option('--warmup <share>', `share of the steps that warms up (default: ${D.warmup})`, real(0, 1))
    .option('--decay <share>', `wsd: share of the steps that decays (default: ${D.decay})`, real(0, 1))
    .addOption(new Option('--decay-shape <name>', `wsd: 1-sqrt, linear or cosine decay (default: ${D.decayShape})`).choices(['sqrt', 'linear', 'cosine']))
    .option('--weight-decay <number>', `decoupled (default: ${D.weightDecay})`, real(0))
    .addOption(
      new Option('--decay-rule <name>', `what decays; matrices: all but vectors and embeddings, published: the published code's test to the letter (default: ${D.decayRule})`).choices(['matrices', 'published']),
    )
    .option('--clip <norm>', `largest global gradient norm, 0 for none (default: ${D.clip})`, real(0))
    .option('--ratio-targets <list>', "wanted positions per chunk of each stage (default: the preset's)", numberList)
    .option('--ratio-weight <number>', `weight of the ratio loss (default: ${D.ratioWeight})`, real(0))
    .option('--eval-every <steps>', `bits per byte of held-out text, 0: never and hold nothing out (default: ${D.evalEvery})`, whole(0))
    .option('--eval-bytes <number>', `held-out bytes of an evaluation (default: ${D.evalBytes})`, whole())
    .option('--save-every <steps>', `steps between checkpoints (default: ${D.saveEvery})`, whole())
    .option('--keep <number>', `checkpoints to keep (default: ${D.keep})`, whole())
    .option('--json', 'print the lines of log.jsonl to standard output');
  withSharedOptions(command, 'auto').action((options: TrainOptions) => train(options, command));
}

async function train(options: TrainOptions, command: Command): Promise<void> {
  const { source, settings } = options.resume ? resumed(options, command) : await fresh(options, command);
  const backend = await startBackend(settings.backend);
  const model = await loadModel(source, { seed: settings.seed, ratioTargets: settings.ratioTargets, ratioLossWeight: settings.ratioWeight });
  // A handler from here on: before, nothing could be lost.
  const { signal, release } = stopSignal(() => process.stderr.write('\nstopping after this step; press Ctrl-C again to stop at once without saving\n'));
  let progress: Progress | undefined;
  try {
    const { config } = source;
    const { out, stopAt } = options;
    for await (const event of trainRun({ model, config, settings, out, resume: Boolean(options.resume), stopAt, signal, backend })) {
      if (event.type === 'start') {
        process.stderr.write(`${startLine(event, source, settings)}\n`);
        progress = createProgress({ total: settings.steps, start: event.step, unit: 'step' });
      }
      show(event, progress!, out);
      if (options.json) process.stdout.write(`${JSON.stringify(event)}\n`);
      await breathe();
    }
  } finally {
    progress?.stop();
    release();
    model.dispose();
  }
}

function show(event: TrainRunEvent, progress: Progress, out: string): void {
  if (event.type === 'step') progress.update(event.step, detail(event));
  else if (event.type === 'evaluation') progress.log(`step ${event.step}: ${event.bitsPerByte.toFixed(4)} bits per byte on held-out text`);
  else if (event.type === 'warning') progress.log(`warning: ${event.message}`);
  else if (event.type === 'saved') progress.log(`step ${event.step}: saved to ${out}`);
  else if (event.type === 'end') {
    progress.stop();
    const how = event.stopped ? `stopped after step ${event.step}; continue with: train --resume --out ${out}` : `done after step ${event.step}; try: generate --model ${out} --prompt "The "`;
    process.stderr.write(`${how}\n`);
  }
}

function detail({ losses, bytesPerChunk, bytesPerSecond }: Extract<TrainRunEvent, { type: 'step' }>): string {
  const chunks = bytesPerChunk.length ? ` · ${bytesPerChunk.map((b) => b.toFixed(1)).join(' / ')} bytes per chunk` : '';
  return `loss ${losses.crossEntropy!.toFixed(4)} (${(losses.crossEntropy! / Math.LN2).toFixed(3)} bits per byte)${chunks} · ${count(bytesPerSecond)} bytes/s`;
}

function startLine({ data, parameters, step }: Extract<TrainRunEvent, { type: 'start' }>, source: ModelSource, settings: TrainSettings): string {
  const perStep = settings.batch * settings.length * settings.accumulate;
  const held = data.valid ? `, ${count(data.valid[1] - data.valid[0])} held out` : '';
  const from = step ? `from step ${step} ` : '';
  return (
    `model: ${source.name}, ${compact(parameters)} parameters · data: ${count(data.train[1] - data.train[0])} bytes${held}\n` +
    `training ${from}to step ${settings.steps}: ${count(perStep)} bytes a step, learning rate ${settings.lr} x ${settings.lrMultipliers.map((m) => m.toFixed(2)).join(', ')}`
  );
}

/** Settings of a new run. */
async function fresh(options: TrainOptions, command: Command): Promise<{ source: ModelSource; settings: TrainSettings }> {
  if (!options.data) throw new ConfigError('[train] --data: expected files or folders of text, got none.');
  if (options.preset && options.config) throw new ConfigError('[train] --preset and --config: expected one of them, got both.');
  const preset = options.preset === undefined ? undefined : HNET_PRESETS[options.preset];
  if (options.preset !== undefined && !preset) throw new ConfigError(`[train] --preset ${options.preset}: expected one of ${Object.keys(HNET_PRESETS).join(', ')}.`);
  const source = await startingPoint(options, preset);
  const ratioTargets = options.ratioTargets ?? source.ratioTargets ?? defaultRatioTargets(source.config);
  const settings: TrainSettings = {
    ...D,
    ...overrides(options, command),
    data: options.data,
    init: options.init ?? null,
    seed: options.seed,
    backend: options.backend,
    ratioTargets,
    lrMultipliers: multipliers(options.lrMultipliers, source.config, ratioTargets),
  };
  return { source, settings };
}

/** Weights of `--init`, or initial ones for a preset or configuration. */
async function startingPoint({ init, preset: name, config }: TrainOptions, preset: (typeof HNET_PRESETS)[string] | undefined): Promise<ModelSource> {
  if (init !== undefined) {
    const source = await findModel(init, config);
    if (!source.weights) throw new ConfigError(`[train] --init ${init}: expected a model with weights, this preset has none. Hint: --preset ${init} starts it from scratch.`);
    return preset ? { ...source, config: preset.config, ratioTargets: preset.ratioTargets } : source;
  }
  if (config !== undefined) return { name: config, config: readConfigFile(config), ratioTargets: undefined, weights: null };
  const chosen = preset ?? HNET_PRESETS.demo!;
  return { name: name ?? 'demo', config: chosen.config, ratioTargets: chosen.ratioTargets, weights: null };
}

/** Settings of a run that goes on; what is given again on the command line replaces what was stored. */
function resumed(options: TrainOptions, command: Command): { source: ModelSource; settings: TrainSettings } {
  const fixed = (['preset', 'config', 'init'] as const).filter((key) => options[key] !== undefined);
  if (fixed.length) throw new ConfigError(`[train] --resume: the model is the one of the run, got --${fixed.join(', --')} as well. Hint: leave them out, or start a new run.`);
  const { settings: stored, config } = readRunFiles(options.out);
  const settings = { ...stored, ...overrides(options, command) };
  if (options.lrMultipliers !== undefined) settings.lrMultipliers = multipliers(options.lrMultipliers, config, settings.ratioTargets);
  return { source: { name: options.out, config, ratioTargets: settings.ratioTargets, weights: null }, settings };
}

/** The options that were given, not defaulted. */
function overrides(options: TrainOptions, command: Command): Partial<TrainSettings> {
  const keys = [...Object.keys(D), 'data', 'ratioTargets', 'backend', 'seed'] as (keyof TrainSettings & keyof TrainOptions)[];
  const given = keys.filter((key) => options[key] !== undefined && command.getOptionValueSource(key) !== 'default');
  return Object.fromEntries(given.map((key) => [key, options[key]])) as Partial<TrainSettings>;
}

function multipliers(text: string | undefined, config: HNetConfig, ratioTargets: readonly number[]): number[] {
  if (text === undefined || text === 'auto') return defaultLrMultipliers(config, ratioTargets);
  if (text === 'none') return config.d_model.map(() => 1);
  return numberList(text);
}
