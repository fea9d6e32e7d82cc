import type { Command } from 'commander';
import { compact, count, real } from '@bytelm/example-shared/cli';
import { addInspectCommand, type Inspection } from '@bytelm/example-shared/commands';
import { BLT, type BLTModelOptions, type ChosenBLT } from '../family.js';
import { inspectCheckpoints, inspectConfig, type ModelReport } from '../inspect-model.js';
import { chosenPatching } from '../patcher-options.js';
import { BLT_PRESETS } from '../presets.js';

interface InspectOptions {
  bytesPerPatch?: number;
}

const INSPECTION: Inspection<ChosenBLT, BLTModelOptions, InspectOptions, ModelReport> = {
  presets: BLT_PRESETS,
  examples: [
    'blt inspect                      the model that comes with this example',
    'blt inspect blt-1b               a preset: nothing is downloaded',
    'blt inspect runs/blt --load      also read every value and check it',
  ],
  addOptions: (command) => command.option('--bytes-per-patch <number>', 'measured value to count FLOPs with (default: what the model was made for)', real(1)),
  async report(found, options) {
    const source = { ...found, config: { ...found.config, patching: chosenPatching(found.config.patching, options) } };
    return { ...inspectConfig(source, options.bytesPerPatch), checkpoints: await inspectCheckpoints(source) };
  },
  about: ({ config: { patching: { mode, threshold, patchSize } } }) => [`patches: ${mode === 'entropy' ? `entropy, threshold ${threshold} nats` : mode === 'static' ? `strided, ${patchSize} bytes` : mode}`],
  parts: ({ parts, bytesPerPatch, flopsPerByte: flops }) => [
    ...Object.entries(parts).map(([name, n]) => `  ${name}: ${count(n)}${name === 'entropy model' ? ', apart' : ''}`),
    `FLOPs per byte (at ${bytesPerPatch} bytes per patch, windows of 512 bytes): ${compact(flops.forward)} forward, ${compact(flops.training)} training; entropy model ${compact(flops.entropyModel)}`,
  ],
  checkpoints: ({ checkpoints }) => checkpoints,
};

/** `blt inspect` */
export const addInspectBLTCommand = (program: Command): void => addInspectCommand(program, BLT, INSPECTION);
