import { Option, type Command } from 'commander';
import { ConfigError } from '@bytelm/core';
import { compact, count, rate } from '../cli/format.js';
import { createProgress, type Progress } from '../cli/progress.js';
import { withSharedOptions, type SharedOptions } from '../cli/shared-options.js';
import { startBackend } from '../cli/start.js';
import { breathe, stopSignal } from '../cli/stop-signal.js';
import { byteRange, real, whole } from '../cli/values.js';
import { readRunFiles } from '../train/run-folder.js';
import { RUN_DEFAULTS, type RunSettings } from '../train/run-settings.js';
import { trainRun, type TrainJob, type TrainRunEvent } from '../train/train-run.js';

/** What the command line gave; `Partial` settings are those that were given. */
export interface TrainOptions extends SharedOptions, Partial<Omit<RunSettings, 'seed' | 'backend' | 'init'>> {
  preset?: string;
  config?: string;
  init?: string;
  out: string;
  resume?: boolean;
  stopAt?: number;
  json?: boolean;
}

/** A run that is about to begin or to go on. */
export interface TrainStart<S extends RunSettings> {
  settings: S;
  /** What the start line calls the model. */
  name: string;
  /** Loads the model on the backend that has started, and says how it is trained. */
  job(): Promise<TrainJob>;
  /** Behind the learning rate in the start line, e.g. multipliers. */
  rateNote?: string;
}

/** What a train command needs to know of the models of an example. */
export interface TrainParts<S extends RunSettings, O extends TrainOptions> {
  program: string;
  /** Default `train`. */
  command?: string;
  description: string;
  examples: string;
  defaults: Partial<S> & Pick<RunSettings, keyof typeof RUN_DEFAULTS>;
  /** Settings of the model besides those with a default, to be replaced when given again. */
  settingKeys?: readonly (keyof S & keyof O)[];
  /** Adds `--preset`, `--config`, `--init` and what else the models have. */
  addOptions(command: Command): void;
  /** What to try with the trained model, e.g. `generate --model OUT --prompt "The "`. */
  next(out: string): string;
  /** A new run out of the options and those of them that were given. */
  fresh(options: O, given: Partial<S>): Promise<TrainStart<S>>;
  /** A run that goes on; what is given again replaces what was stored. */
  resumed(options: O, stored: S, config: unknown, given: Partial<S>): Promise<TrainStart<S>> | TrainStart<S>;
}

const RESUME_NOTE = `
The folder then holds model.safetensors and config.json (published names), log.jsonl, loss.svg, run.json, and the newest
checkpoints. Ctrl-C saves and stops; --resume takes every setting from the run (options given again replace theirs) and continues bit for bit on the same backend.`;

/** A command that trains a model into a folder, resumably. */
export function addTrainCommand<S extends RunSettings, O extends TrainOptions>(program: Command, parts: TrainParts<S, O>): void {
  const D = parts.defaults;
  const command = program
    .command(parts.command ?? 'train')
    .description(parts.description)
    .addHelpText('after', `${parts.examples}\n${RESUME_NOTE}`);
  parts.addOptions(command);
  command
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
    .option('--lr <rate>', `highest learning rate, before multipliers (default: ${D.lr})`, real(0))
    .addOption(new Option('--schedule <name>', `how the rate moves (default: ${D.schedule})`).choices(['wsd', 'cosine', 'constant']))
    .option('--warmup <share>', `share of the steps that warms up (default: ${D.warmup})`, real(0, 1))
    .option('--decay <share>', `wsd: share of the steps that decays (default: ${D.decay})`, real(0, 1))
    .addOption(new Option('--decay-shape <name>', `wsd: 1-sqrt, linear or cosine decay (default: ${D.decayShape})`).choices(['sqrt', 'linear', 'cosine']))
    .option('--weight-decay <number>', `decoupled (default: ${D.weightDecay})`, real(0))
    .option('--clip <norm>', `largest global gradient norm, 0 for none (default: ${D.clip})`, real(0))
    .option('--eval-every <steps>', `bits per byte of held-out text, 0: never and hold nothing out (default: ${D.evalEvery})`, whole(0))
    .option('--eval-bytes <number>', `held-out bytes of an evaluation (default: ${D.evalBytes})`, whole())
    .option('--save-every <steps>', `steps between checkpoints (default: ${D.saveEvery})`, whole())
    .option('--keep <number>', `checkpoints to keep (default: ${D.keep})`, whole())
    .option('--json', 'print the lines of log.jsonl to standard output');
  withSharedOptions(command, 'auto').action((options: O) => train(parts, options, command));
}

async function train<S extends RunSettings, O extends TrainOptions>(parts: TrainParts<S, O>, options: O, command: Command): Promise<void> {
  const start = await startOf(parts, options, command);
  const { settings } = start;
  const backend = await startBackend(settings.backend);
  const job = await start.job();
  // A handler from here on: before, nothing could be lost.
  const { signal, release } = stopSignal(() => process.stderr.write('\nstopping after this step; press Ctrl-C again to stop at once without saving\n'));
  let progress: Progress | undefined;
  try {
    const { out, stopAt } = options;
    for await (const event of trainRun({ ...job, settings, out, resume: Boolean(options.resume), stopAt, signal, backend })) {
      if (event.type === 'start') {
        process.stderr.write(`${startLine(event, start)}\n`);
        progress = createProgress({ total: settings.steps, start: event.step, unit: 'step' });
      }
      show(event, progress!, out, parts);
      if (options.json) process.stdout.write(`${JSON.stringify(event)}\n`);
      await breathe();
    }
  } finally {
    progress?.stop();
    release();
    job.dispose();
  }
}

async function startOf<S extends RunSettings, O extends TrainOptions>(parts: TrainParts<S, O>, options: O, command: Command): Promise<TrainStart<S>> {
  const overrides = given<S, O>(options, command, [...(Object.keys(parts.defaults) as (keyof S & keyof O)[]), ...(parts.settingKeys ?? [])]);
  if (!options.resume) {
    if (!options.data) throw new ConfigError('[train] --data: expected files or folders of text, got none.');
    if (options.preset && options.config) throw new ConfigError('[train] --preset and --config: expected one of them, got both.');
    return parts.fresh(options, overrides);
  }
  const fixed = (['preset', 'config', 'init'] as const).filter((key) => options[key] !== undefined);
  if (fixed.length) throw new ConfigError(`[train] --resume: the model is the one of the run, got --${fixed.join(', --')} as well. Hint: leave them out, or start a new run.`);
  const { settings: stored, config } = readRunFiles<S>(options.out);
  return parts.resumed(options, stored, config, overrides);
}

/** The options of these names that were given, not defaulted. */
export function given<S, O extends object>(options: O, command: Command, keys: readonly (keyof S & keyof O)[]): Partial<S> {
  const all = [...keys, 'data', 'backend', 'seed'] as (keyof S & keyof O)[];
  const chosen = all.filter((key) => options[key] !== undefined && command.getOptionValueSource(key as string) !== 'default');
  return Object.fromEntries(chosen.map((key) => [key, options[key]])) as unknown as Partial<S>;
}

function show(event: TrainRunEvent, progress: Progress, out: string, parts: { command?: string; next(out: string): string }): void {
  if (event.type === 'step') progress.update(event.step, detail(event));
  else if (event.type === 'evaluation') progress.log(`step ${event.step}: ${event.bitsPerByte.toFixed(4)} bits per byte on held-out text`);
  else if (event.type === 'warning') progress.log(`warning: ${event.message}`);
  else if (event.type === 'saved') progress.log(`step ${event.step}: saved to ${out}`);
  else if (event.type === 'end') {
    progress.stop();
    const how = event.stopped ? `stopped after step ${event.step}; continue with: ${parts.command ?? 'train'} --resume --out ${out}` : `done after step ${event.step}; try: ${parts.next(out)}`;
    process.stderr.write(`${how}\n`);
  }
}

function detail({ losses, bytesPerChunk, bytesPerSecond }: Extract<TrainRunEvent, { type: 'step' }>): string {
  const chunks = bytesPerChunk.length ? ` · ${bytesPerChunk.map((b) => b.toFixed(1)).join(' / ')} bytes per chunk` : '';
  return `loss ${losses.crossEntropy!.toFixed(4)} (${(losses.crossEntropy! / Math.LN2).toFixed(3)} bits per byte)${chunks} · ${rate(bytesPerSecond)} bytes/s`;
}

function startLine<S extends RunSettings>({ data, parameters, step }: Extract<TrainRunEvent, { type: 'start' }>, { settings, name, rateNote = '' }: TrainStart<S>): string {
  const perStep = settings.batch * settings.length * settings.accumulate;
  const held = data.valid ? `, ${count(data.valid[1] - data.valid[0])} held out` : '';
  const from = step ? `from step ${step} ` : '';
  return (
    `model: ${name}, ${compact(parameters)} parameters · data: ${count(data.train[1] - data.train[0])} bytes${held}\n` +
    `training ${from}to step ${settings.steps}: ${count(perStep)} bytes a step, learning rate ${settings.lr}${rateNote}`
  );
}
