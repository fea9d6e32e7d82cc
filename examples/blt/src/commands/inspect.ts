import type { Command } from 'commander';
import { ConfigError } from '@bytelm/core';
import { compact, count, real, startBackend, withSharedOptions } from '@bytelm/example-shared/cli';
import { checkCheckpoint, checkpointText, withModelOptions } from '@bytelm/example-shared/model';
import { BLT, type BLTModelOptions } from '../family.js';
import { inspectCheckpoints, inspectConfig, type ModelReport } from '../inspect-model.js';
import { chosenPatching } from '../patcher-options.js';
import { BLT_PRESETS } from '../presets.js';

interface InspectOptions extends BLTModelOptions {
  bytesPerPatch?: number;
  load?: boolean;
  json?: boolean;
}

const EXAMPLES = `
Examples:
  blt inspect                      the model that comes with this example
  blt inspect blt-1b               a preset: nothing is downloaded
  blt inspect runs/blt --load      also read every value and check it

Presets:
${Object.entries(BLT_PRESETS).map(([name, p]) => `  ${name.padEnd(12)} ${p.description}`).join('\n')}`;

/** `blt inspect` */
export function addInspectCommand(program: Command): void {
  const command = program.command('inspect').description('configuration, parameters, tensors and cost of a model').argument('[model]', 'the same as --model').addHelpText('after', EXAMPLES);
  withModelOptions(command, BLT)
    .option('--bytes-per-patch <number>', 'measured value to count FLOPs with (default: what the model was made for)', real(1))
    .option('--load', 'start the backend, read all values and check that they are finite')
    .option('--json', 'print everything as JSON');
  withSharedOptions(command, 'wasm').action(run);
}

async function run(model: string | undefined, options: InspectOptions): Promise<void> {
  if (model !== undefined && options.model !== undefined) throw new ConfigError('[inspect] expected the model once, got an argument and --model.');
  const found = await BLT.find({ ...options, ...(model !== undefined && { model }) });
  const source = { ...found, config: { ...found.config, patching: chosenPatching(found.config.patching, options) } };
  const report = inspectConfig(source, options.bytesPerPatch);
  report.checkpoints = await inspectCheckpoints(source);
  process.stdout.write(options.json ? `${JSON.stringify(report, null, 1)}\n` : `${reportText(report)}\n`);
  for (const checkpoint of report.checkpoints) {
    const problem = checkCheckpoint(checkpoint);
    if (problem) throw problem;
  }
  if (options.load && source.weights) {
    await startBackend(options.backend);
    (await BLT.load(found, { seed: options.seed })).dispose();
    process.stderr.write('all values were read and are finite\n');
  }
}

function reportText(report: ModelReport): string {
  const { config, parts, flopsPerByte: flops } = report;
  const { mode, threshold, patchSize } = config.patching;
  const cut = mode === 'entropy' ? `entropy, threshold ${threshold} nats` : mode === 'static' ? `strided, ${patchSize} bytes` : mode;
  return [
    `model: ${report.model}`,
    `patches: ${cut}`,
    `parameters: ${count(report.parameters)} in ${report.tensors.length} tensors`,
    ...Object.entries(parts).map(([name, n]) => `  ${name}: ${count(n)}${name === 'entropy model' ? ', apart' : ''}`),
    `FLOPs per byte (at ${report.bytesPerPatch} bytes per patch, windows of 512 bytes): ${compact(flops.forward)} forward, ${compact(flops.training)} training; entropy model ${compact(flops.entropyModel)}`,
    ...(report.unknownKeys.length ? [`keys of the configuration that nothing here knows: ${report.unknownKeys.join(', ')}`] : []),
    ...(report.checkpoints.length ? report.checkpoints.flatMap(checkpointText) : ['weights: none here']),
    'tensors:',
    ...report.tensors.map((t) => `  ${t.name} (${t.shape.join(', ')})`),
  ].join('\n');
}
