import { cpus } from 'node:os';
import { basename } from 'node:path';
import type { Command } from 'commander';
import type { StepEvent } from '@bytelm/core/train';
import { byteRange, createProgress, real, startBackend, stopSignal, whole, withSharedOptions, type ByteRange, type SharedOptions } from '@bytelm/example-shared/cli';
import { checkRunSettings, type RunSettings } from '@bytelm/example-shared/train';
import { swapByName } from '../build.js';
import { line, mergeRows, readRows, writeRows, type ResultRow, type Setup } from '../results.js';
import { SWAPS } from '../swaps/index.js';
import { entropyMaterial } from '../train/entropy-material.js';
import { DEFAULTS as D, PROSE } from '../train/settings.js';
import { trainSwap } from '../train/train-swap.js';

interface TrainOptions extends SharedOptions {
  swap?: string[];
  data: string[];
  range?: ByteRange;
  validRange?: ByteRange;
  steps: number;
  batch: number;
  length: number;
  lr: number;
  evalBytes: number;
  out?: string;
}

const EXAMPLES = `
Examples:
  mix-and-match train
  mix-and-match train --swap hnet-space blt-hnet-main --steps 100
  mix-and-match train --data books.txt --range 0:8042244 --valid-range 8042244:8310401 --out results

First an entropy model is trained for as many steps; it cuts the text for the swaps that want it. Without --valid-range the last 5 % of the text are held out.`;

/** `train`: trains swaps and compares them. */
export function addTrainCommand(program: Command): void {
  const command = program.command('train').description('train swaps on a text and compare them').addHelpText('after', EXAMPLES);
  command
    .option('--swap <name...>', 'which ones (default: all; `list` shows them)')
    .option('--data <path...>', 'files and folders of text', [PROSE])
    .option('--range <start:end>', 'bytes of the data to train on', byteRange)
    .option('--valid-range <start:end>', 'held-out bytes', byteRange)
    .option('--steps <number>', 'updates of each model', whole(), D.steps)
    .option('--batch <rows>', 'rows of a batch', whole(), D.batch)
    .option('--length <bytes>', 'bytes of a row', whole(2), D.length)
    .option('--lr <rate>', 'highest learning rate', real(0), D.lr)
    .option('--eval-bytes <number>', 'held-out bytes that are scored', whole(), D.evalBytes)
    .option('--out <folder>', 'where swaps.json and swaps.md are written; rows of other swaps there are kept');
  withSharedOptions(command, 'auto').action(train);
}

async function train(options: TrainOptions): Promise<void> {
  const swaps = options.swap?.map(swapByName) ?? SWAPS;
  const { out, range = null, validRange = null, swap: _, ...rest } = options;
  const settings: RunSettings = { ...D, ...rest, range, validRange };
  checkRunSettings(settings);
  const backend = await startBackend(options.backend);
  const { signal, release } = stopSignal(() => process.stderr.write('\nstopping; models that are done stay in the table\n'));
  try {
    const { entropy, calibration } = await withProgress('entropy model', settings.steps, (onStep) => entropyMaterial(settings, onStep, signal));
    const setup: Setup = {
      ...pick(settings),
      data: settings.data.map((path) => basename(path)).join(', '),
      backend: backend.name,
      machine: `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${cpus().length} cores`,
      date: new Date().toISOString().slice(0, 10),
    };
    const { threshold, bytesPerChunk: bytesPerPatch } = calibration;
    process.stderr.write(`threshold ${threshold.toFixed(4)} nats: ${bytesPerPatch.toFixed(2)} bytes per patch of training text\n`);
    const rows: ResultRow[] = [];
    for (const swap of swaps) {
      if (signal.aborted) break;
      const trained = await withProgress(swap.name, settings.steps, (onStep) => trainSwap(swap, settings, entropy, onStep, signal));
      if (signal.aborted) break;
      rows.push({ name: swap.name, ...trained, setup, ...(trained.cutByEntropies && { entropy: { threshold, bytesPerPatch } }) });
      process.stdout.write(`${line(rows.at(-1)!)}\n`);
      if (out !== undefined) await writeRows(out, mergeRows(readRows(out), rows));
    }
    entropy.model.dispose();
  } finally {
    release();
  }
}

const pick = ({ steps, batch, length, lr, seed, evalBytes }: RunSettings) => ({ steps, batch, length, lr, seed, evalBytes });

async function withProgress<T>(name: string, total: number, run: (onStep: (event: StepEvent) => void) => Promise<T>): Promise<T> {
  const progress = createProgress({ total, unit: `${name}: step`, interval: 15 });
  try {
    return await run(({ step, parts }) => progress.update(step, `${(parts.crossEntropy! / Math.LN2).toFixed(3)} bits per byte`));
  } finally {
    progress.stop();
  }
}
