import type { Command } from 'commander';
import { ConfigError } from '@bytelm/core';
import { compact, count, numberList } from '@bytelm/example-shared/cli';
import { addInspectCommand, type Inspection } from '@bytelm/example-shared/commands';
import type { ModelOptions } from '@bytelm/example-shared/model';
import type { HNetSource } from '../checkpoint.js';
import { HNET } from '../family.js';
import { inspectCheckpoint, inspectConfig, type ModelReport } from '../inspect-model.js';
import { HNET_PRESETS } from '../presets.js';

interface InspectOptions {
  positionsPerChunk?: number[];
}

const INSPECTION: Inspection<HNetSource, ModelOptions, InspectOptions, ModelReport> = {
  presets: HNET_PRESETS,
  examples: [
    'hnet inspect                         the model that comes with this example',
    'hnet inspect hnet_2stage_XL          a preset: nothing is downloaded',
    'hnet inspect runs/demo --load        also read every value and check it',
  ],
  addOptions: (command) => command.option('--positions-per-chunk <list>', 'measured values to count FLOPs with, outermost stage first (default: what the model was trained towards)', numberList),
  async report(source, { positionsPerChunk }) {
    const stages = source.config.d_model.length - 1;
    if (positionsPerChunk && positionsPerChunk.length !== stages) throw new ConfigError(`[inspect] --positions-per-chunk: expected ${stages} numbers, got ${positionsPerChunk.length}.`);
    const report = inspectConfig(source, positionsPerChunk);
    const checkpoint = await inspectCheckpoint(source);
    return checkpoint ? { ...report, checkpoint } : report;
  },
  about: ({ config }) => [`arch_layout: ${JSON.stringify(config.arch_layout)}`],
  parts: ({ stages, positionsPerChunk, flopsPerByte: flops }) => [
    ...stages.map((s, i) => `  stage ${i}: width ${s.width}, ${count(s.parameters)} parameters, learning rate x ${s.lrMultiplier.toFixed(3)}`),
    `FLOPs per byte (at ${positionsPerChunk.length ? `${positionsPerChunk.join(' x ')} positions per chunk` : 'one position a byte'}, windows of 512 bytes): ` +
      `${compact(flops.forward)} forward, ${compact(flops.training)} training, ${compact(flops.decoding)} decoding`,
  ],
  checkpoints: ({ checkpoint }) => (checkpoint ? [checkpoint] : []),
  // A preset's published weights are not fetched for a look.
  canLoad: ({ weights }) => weights?.local === true,
};

/** `hnet inspect` */
export const addInspectHNetCommand = (program: Command): void => addInspectCommand(program, HNET, INSPECTION);
