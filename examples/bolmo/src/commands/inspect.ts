import type { Command } from 'commander';
import { compact, count, real } from '@bytelm/example-shared/cli';
import { addInspectCommand, type Inspection } from '@bytelm/example-shared/commands';
import type { ModelOptions } from '@bytelm/example-shared/model';
import { BOLMO } from '../family.js';
import { inspectCheckpoint, inspectConfig, type ModelReport } from '../inspect-model.js';
import { BOLMO_PRESETS } from '../presets.js';
import type { BolmoSource } from '../source.js';

const INSPECTION: Inspection<BolmoSource, ModelOptions, { bytesPerPatch?: number }, ModelReport> = {
  presets: BOLMO_PRESETS,
  examples: ['bolmo inspect bolmo-1b               a preset: nothing is downloaded', 'bolmo inspect runs/bolmo --load      also read every value and check it'],
  addOptions: (command) => command.option('--bytes-per-patch <number>', 'measured value to count FLOPs with (default: 4.4, as the published models have it)', real(1)),
  report: async (source, { bytesPerPatch }) => ({ ...inspectConfig(source, bytesPerPatch), checkpoint: await inspectCheckpoint(source) }),
  parts: ({ parts, bytesPerPatch, flopsPerByte: flops }) => [
    ...Object.entries(parts).map(([name, n]) => `  ${name}: ${count(n)}`),
    `FLOPs per byte (at ${bytesPerPatch} bytes per patch, windows of 512 bytes): ${compact(flops.forward)} forward, ${compact(flops.training)} training`,
  ],
  checkpoints: ({ checkpoint }) => (checkpoint ? [checkpoint] : []),
};

/** `bolmo inspect` */
export const addInspectBolmoCommand = (program: Command): void => addInspectCommand(program, BOLMO, INSPECTION);
