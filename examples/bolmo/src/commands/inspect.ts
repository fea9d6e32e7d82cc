import type { Command } from 'commander';
import { ConfigError } from '@bytelm/core';
import { compact, count, real, startBackend, withSharedOptions } from '@bytelm/example-shared/cli';
import { checkCheckpoint, checkpointText, withModelOptions, type ModelOptions } from '@bytelm/example-shared/model';
import { BOLMO } from '../family.js';
import { inspectCheckpoint, inspectConfig, type ModelReport } from '../inspect-model.js';
import { BOLMO_PRESETS } from '../presets.js';

interface InspectOptions extends ModelOptions {
  bytesPerPatch?: number;
  load?: boolean;
  json?: boolean;
}

const EXAMPLES = `
Examples:
  bolmo inspect bolmo-1b               a preset: nothing is downloaded
  bolmo inspect runs/bolmo --load      also read every value and check it

Presets:
${Object.entries(BOLMO_PRESETS).map(([name, p]) => `  ${name.padEnd(12)} ${p.description}`).join('\n')}`;

/** `bolmo inspect` */
export function addInspectCommand(program: Command): void {
  const command = program.command('inspect').description('configuration, parameters, tensors and cost of a model').argument('[model]', 'the same as --model').addHelpText('after', EXAMPLES);
  withModelOptions(command, BOLMO)
    .option('--bytes-per-patch <number>', 'measured value to count FLOPs with (default: 4.4, as the published models have it)', real(1))
    .option('--load', 'start the backend, read all values and check that they are finite')
    .option('--json', 'print everything as JSON');
  withSharedOptions(command, 'wasm').action(run);
}

async function run(model: string | undefined, options: InspectOptions): Promise<void> {
  if (model !== undefined && options.model !== undefined) throw new ConfigError('[inspect] expected the model once, got an argument and --model.');
  const source = await BOLMO.find({ ...options, ...(model !== undefined && { model }) });
  const report = { ...inspectConfig(source, options.bytesPerPatch), checkpoint: await inspectCheckpoint(source) };
  process.stdout.write(options.json ? `${JSON.stringify(report, null, 1)}\n` : `${reportText(report)}\n`);
  const problem = report.checkpoint && checkCheckpoint(report.checkpoint);
  if (problem) throw problem;
  if (options.load && source.weights) {
    await startBackend(options.backend);
    (await BOLMO.load(source, { seed: options.seed })).dispose();
    process.stderr.write('all values were read and are finite\n');
  }
}

function reportText(report: ModelReport): string {
  const { parts, flopsPerByte: flops } = report;
  return [
    `model: ${report.model}`,
    `parameters: ${count(report.parameters)} in ${report.tensors.length} tensors`,
    ...Object.entries(parts).map(([name, n]) => `  ${name}: ${count(n)}`),
    `FLOPs per byte (at ${report.bytesPerPatch} bytes per patch, windows of 512 bytes): ${compact(flops.forward)} forward, ${compact(flops.training)} training`,
    ...(report.unknownKeys.length ? [`keys of the configuration that nothing here knows: ${report.unknownKeys.join(', ')}`] : []),
    ...(report.checkpoint ? checkpointText(report.checkpoint) : ['weights: none here']),
    'tensors:',
    ...report.tensors.map((t) => `  ${t.name} (${t.shape.join(', ')})`),
  ].join('\n');
}
