import type { Command } from 'commander';
import { ConfigError } from '@bytelm/core';
import { count } from '../cli/format.js';
import { withSharedOptions } from '../cli/shared-options.js';
import { startBackend } from '../cli/start.js';
import { checkCheckpoint, checkpointText, type CheckpointReport } from '../model/compare-tensors.js';
import type { ModelSource } from '../model/find-model.js';
import { withModelOptions, type ModelFamily, type ModelOptions } from '../model/model-family.js';

/** What every report on a model says; a family's own says more. `--json` prints all of it. */
export interface InspectReport {
  model: string;
  parameters: number;
  tensors: { name: string; shape: number[] }[];
  /** Keys of the configuration file that no rule knows. */
  unknownKeys?: string[];
}

/** What `inspect` needs to know beyond the family. `F`: options it adds. */
export interface Inspection<S extends ModelSource, O extends ModelOptions, F extends object, R extends InspectReport> {
  presets: Readonly<Record<string, { description: string }>>;
  /** Lines of the help: a command line, and what it does. */
  examples: readonly string[];
  /** Options besides `--load` and `--json`. */
  addOptions(command: Command): void;
  /** Everything there is to know about the model without running it; values of its tensors are not read. */
  report(source: S, options: O & F): Promise<R>;
  /** Lines above the number of parameters. */
  about?(report: R): string[];
  /** Lines below the number of parameters: where they are, FLOPs. */
  parts(report: R): string[];
  /** The files of weights that are here, compared with the configuration. */
  checkpoints(report: R): readonly CheckpointReport[];
  /** Whether `--load` has something to read. Default: every source with weights. */
  canLoad?(source: S): boolean;
}

interface InspectFlags {
  load?: boolean;
  json?: boolean;
}

const help = (examples: readonly string[], presets: Readonly<Record<string, { description: string }>>) => {
  const width = Math.max(...Object.keys(presets).map((name) => name.length)) + 2;
  return `
Examples:
${examples.map((line) => `  ${line}`).join('\n')}

Presets:
${Object.entries(presets).map(([name, p]) => `  ${name.padEnd(width)}${p.description}`).join('\n')}`;
};

/** `inspect`: configuration, parameters, tensors and cost of a model. */
export function addInspectCommand<S extends ModelSource, O extends ModelOptions, F extends object, R extends InspectReport>(program: Command, family: ModelFamily<S, O>, inspection: Inspection<S, O, F, R>): void {
  const command = program.command('inspect').description('configuration, parameters, tensors and cost of a model').argument('[model]', 'the same as --model').addHelpText('after', help(inspection.examples, inspection.presets));
  withModelOptions(command, family);
  inspection.addOptions(command);
  command.option('--load', 'start the backend, read all values and check that they are finite').option('--json', 'print everything as JSON');
  withSharedOptions(command, 'wasm').action((model: string | undefined, options: O & F & InspectFlags) => run(family, inspection, model, options));
}

async function run<S extends ModelSource, O extends ModelOptions, F extends object, R extends InspectReport>(
  family: ModelFamily<S, O>,
  inspection: Inspection<S, O, F, R>,
  model: string | undefined,
  options: O & F & InspectFlags,
): Promise<void> {
  if (model !== undefined && options.model !== undefined) throw new ConfigError('[inspect] expected the model once, got an argument and --model.');
  const source = await family.find({ ...options, ...(model !== undefined && { model }) });
  const report = await inspection.report(source, options);
  process.stdout.write(options.json ? `${JSON.stringify(report, null, 1)}\n` : `${reportText(report, inspection)}\n`);
  for (const checkpoint of inspection.checkpoints(report)) {
    const problem = checkCheckpoint(checkpoint);
    if (problem) throw problem;
  }
  if (options.load && (inspection.canLoad?.(source) ?? source.weights !== null)) {
    await startBackend(options.backend);
    (await family.load(source, { seed: options.seed })).dispose();
    process.stderr.write('all values were read and are finite\n');
  }
}

function reportText<R extends InspectReport>(report: R, { about, parts, checkpoints }: Pick<Inspection<never, never, never, R>, 'about' | 'parts' | 'checkpoints'>): string {
  const weights = checkpoints(report);
  return [
    `model: ${report.model}`,
    ...(about?.(report) ?? []),
    `parameters: ${count(report.parameters)} in ${report.tensors.length} tensors`,
    ...parts(report),
    ...(report.unknownKeys?.length ? [`keys of the configuration that nothing here knows: ${report.unknownKeys.join(', ')}`] : []),
    ...(weights.length ? weights.flatMap(checkpointText) : ['weights: none here']),
    'tensors:',
    ...report.tensors.map((t) => `  ${t.name} (${t.shape.join(', ')})`),
  ].join('\n');
}
