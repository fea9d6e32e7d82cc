import { Option, type Command } from 'commander';
import { ConfigError } from '@bytelm/core';
import { bitsPerByte } from '@bytelm/core/evaluation';
import { count, rate } from '../cli/format.js';
import { createProgress } from '../cli/progress.js';
import { withSharedOptions } from '../cli/shared-options.js';
import { byteRange, whole, type ByteRange } from '../cli/values.js';
import { startModel, withModelOptions, type LoadedModel, type ModelFamily, type ModelOptions } from '../model/model-family.js';
import type { ModelSource } from '../model/find-model.js';
import { readBytes } from '../train/open-data.js';

interface EvaluateOptions {
  data: string[];
  range?: ByteRange;
  mode: 'sliding' | 'chunked' | 'stateful';
  window: number;
  stride?: number;
  batch: number;
  json?: boolean;
}

/** What a family can tell about a text besides. `F`: the options it adds. */
export interface FurtherEvaluation<S extends ModelSource, F extends object> {
  addOptions(command: Command): void;
  /** Whether these options ask for it, in place of plain bits per byte. */
  isWanted(options: F): boolean;
  run(loaded: { model: LoadedModel; source: S }, bytes: Uint8Array, options: F & { batch: number; json?: boolean }): Promise<void>;
}

const examples = (program: string) => `
Examples:
  ${program} evaluate --data books.txt --range 8310401:8578450
  ${program} evaluate --model runs/demo --data poem.txt --mode chunked --window 1024 --json

sliding: windows advance by the stride, each byte is scored once with at least window - stride bytes before it (for reports).
chunked: each window alone (cheaper, a little too high). stateful: the state is carried through the whole text.`;

/** `evaluate`: bits per byte of a text. */
export function addEvaluateCommand<S extends ModelSource, O extends ModelOptions, F extends object = object>(program: Command, family: ModelFamily<S, O>, further?: FurtherEvaluation<S, F>): void {
  const command = program.command('evaluate').description('bits per byte of a text').addHelpText('after', examples(family.program));
  withModelOptions(command, family)
    .requiredOption('--data <path...>', 'files and folders of text')
    .option('--range <start:end>', 'bytes of the data to score (default: all)', byteRange)
    .addOption(new Option('--mode <name>', 'what a byte may see').choices(['sliding', 'chunked', 'stateful']).default('sliding'))
    .option('--window <bytes>', 'bytes of a window', whole(), 512)
    .option('--stride <bytes>', 'sliding: how far windows advance (default: half a window)', whole())
    .option('--batch <windows>', 'windows at once', whole(), 8)
    .option('--json', 'print the result as JSON');
  further?.addOptions(command);
  withSharedOptions(command, 'auto').action((options: O & EvaluateOptions & F) => run(family, options, further));
}

async function run<S extends ModelSource, O extends ModelOptions, F extends object>(family: ModelFamily<S, O>, options: O & EvaluateOptions & F, further?: FurtherEvaluation<S, F>): Promise<void> {
  const { mode, window, stride, batch } = options;
  if (stride !== undefined && mode !== 'sliding') throw new ConfigError(`[evaluate] --stride ${stride} belongs to --mode sliding, the mode is ${mode}.`);
  const bytes = await readBytes(options.data, options.range ?? null);
  const { model, source } = await startModel(family, options);
  if (further?.isWanted(options)) {
    await further.run({ model, source }, bytes, options).finally(() => model.dispose());
    return;
  }
  const progress = createProgress({ total: bytes.length, unit: 'byte' });
  const begin = performance.now();
  try {
    const report = await bitsPerByte(model, bytes, {
      mode,
      window,
      batch,
      bos: family.vocabulary.bos,
      byteOffset: family.vocabulary.offset,
      ...(stride !== undefined && { stride }),
      onProgress: (p) => progress.update(p.bytes, `${p.bitsPerByte.toFixed(4)} bits per byte · ${rate((1000 * p.bytes) / (performance.now() - begin))} bytes/s`),
    });
    progress.stop();
    const how = `${report.mode}(${report.window}${report.stride === undefined ? '' : `, ${report.stride}`})`;
    if (options.json) {
      const { bitsPerByte: bpb, nats, bytes: scored } = report;
      process.stdout.write(`${JSON.stringify({ model: source.name, bitsPerByte: bpb, nats, bytes: scored, mode, window, ...(report.stride !== undefined && { stride: report.stride }) })}\n`);
    } else process.stdout.write(`${report.bitsPerByte.toFixed(4)} bits per byte, ${how}, ${count(report.bytes)} bytes\n`);
  } finally {
    progress.stop();
    model.dispose();
  }
}
