import type { Command } from 'commander';
import { ConfigError } from '@bytelm/core';
import { compact, count, numberList, startBackend, withSharedOptions } from '@bytelm/example-shared/cli';
import { checkCheckpoint, checkpointText, withModelOptions, type ModelOptions } from '@bytelm/example-shared/model';
import { loadModel, type HNetSource } from '../checkpoint.js';
import { HNET, sourceOf } from '../family.js';
import { inspectCheckpoint, inspectConfig, type ModelReport } from '../inspect-model.js';
import { HNET_PRESETS } from '../presets.js';

interface InspectOptions extends ModelOptions {
  positionsPerChunk?: number[];
  load?: boolean;
  json?: boolean;
}

const EXAMPLES = `
Examples:
  hnet inspect                         the model that comes with this example
  hnet inspect hnet_2stage_XL          a preset: nothing is downloaded
  hnet inspect runs/demo --load        also read every value and check it

Presets:
${Object.entries(HNET_PRESETS).map(([name, p]) => `  ${name.padEnd(24)} ${p.description}`).join('\n')}`;

/** `hnet inspect` */
export function addInspectCommand(program: Command): void {
  const command = program.command('inspect').description('configuration, parameters, tensors and cost of a model').argument('[model]', 'the same as --model').addHelpText('after', EXAMPLES);
  withModelOptions(command, HNET)
    .option('--positions-per-chunk <list>', 'measured values to count FLOPs with, outermost stage first (default: what the model was trained towards)', numberList)
    .option('--load', 'start the backend, read all values and check that they are finite')
    .option('--json', 'print everything as JSON');
  withSharedOptions(command, 'wasm').action(run);
}

async function run(model: string | undefined, options: InspectOptions): Promise<void> {
  if (model !== undefined && options.model !== undefined) throw new ConfigError('[inspect] expected the model once, got an argument and --model.');
  const source = await sourceOf({ ...options, ...(model !== undefined && { model }) });
  const stages = source.config.d_model.length - 1;
  if (options.positionsPerChunk && options.positionsPerChunk.length !== stages) throw new ConfigError(`[inspect] --positions-per-chunk: expected ${stages} numbers, got ${options.positionsPerChunk.length}.`);
  const report = inspectConfig(source, options.positionsPerChunk);
  const problems = await addCheckpoint(report, source, options);
  process.stdout.write(options.json ? `${JSON.stringify(report, null, 1)}\n` : `${reportText(report)}\n`);
  if (problems) throw problems;
}

/** Contents of the weights that are on this machine; a preset's published weights are not fetched for a look. */
async function addCheckpoint(report: ModelReport, source: HNetSource, options: InspectOptions): Promise<Error | undefined> {
  if (!source.weights?.local) return undefined;
  const weights = await source.weights.open();
  try {
    report.checkpoint = inspectCheckpoint(weights, source.config);
  } finally {
    await weights.close();
  }
  const problem = checkCheckpoint(report.checkpoint);
  if (problem) return problem;
  if (options.load) {
    await startBackend(options.backend);
    (await loadModel(source)).dispose();
    process.stderr.write('all values were read and are finite\n');
  }
  return undefined;
}

function reportText(report: ModelReport): string {
  const { config, stages, flopsPerByte: flops } = report;
  return [
    `model: ${report.model}`,
    `arch_layout: ${JSON.stringify(config.arch_layout)}`,
    `parameters: ${count(report.parameters)} in ${report.tensors.length} tensors`,
    ...stages.map((s, i) => `  stage ${i}: width ${s.width}, ${count(s.parameters)} parameters, learning rate x ${s.lrMultiplier.toFixed(3)}`),
    `FLOPs per byte (at ${report.positionsPerChunk.length ? `${report.positionsPerChunk.join(' x ')} positions per chunk` : 'one position a byte'}, windows of 512 bytes): ` +
      `${compact(flops.forward)} forward, ${compact(flops.training)} training, ${compact(flops.decoding)} decoding`,
    ...(report.checkpoint ? checkpointText(report.checkpoint) : ['weights: none here']),
    'tensors:',
    ...report.tensors.map((t) => `  ${t.name} (${t.shape.join(', ')})`),
  ].join('\n');
}
