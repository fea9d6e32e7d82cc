import type { TensorSource } from '@bytelm/core/io';
import type { ModelSource } from './checkpoint.js';
import type { HNetConfig } from './config.js';
import { flopsPerByte } from './flops.js';
import { numStages, stageOfParameter } from './model.js';
import { parameterShapes } from './parameter-shapes.js';
import { defaultLrMultipliers, defaultRatioTargets } from './train/settings.js';

/** What there is to know about a model without running it. */
export interface ModelReport {
  model: string;
  config: HNetConfig;
  parameters: number;
  /** Outermost first. */
  stages: { width: number; parameters: number; lrMultiplier: number }[];
  /** Positions per chunk that FLOPs are counted with. */
  positionsPerChunk: number[];
  /** FLOPs per byte over windows of 512 bytes; decoding: bytes 512 to 768. */
  flopsPerByte: { forward: number; training: number; decoding: number };
  tensors: { name: string; shape: number[] }[];
  /** Only of models with weights that are here. */
  checkpoint?: CheckpointReport;
}

export interface CheckpointReport {
  file: string;
  tensors: number;
  values: number;
  dtypes: Record<string, number>;
  metadata: Record<string, string>;
  missing: string[];
  unexpected: string[];
  wrongShape: { name: string; file: number[]; model: number[] }[];
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

export function inspectConfig({ name, config, ratioTargets }: ModelSource, positionsPerChunk?: readonly number[]): ModelReport {
  const shapes = parameterShapes(config);
  const targets = [...(positionsPerChunk ?? ratioTargets ?? defaultRatioTargets(config))];
  const multipliers = defaultLrMultipliers(config, targets);
  const own = [...shapes].filter(([n]) => !(config.tie_embeddings && n === 'lm_head.weight'));
  const stages = Array.from({ length: numStages(config) + 1 }, (_, s) => ({
    width: config.d_model[s]!,
    parameters: own.filter(([n]) => stageOfParameter(n, config) === s).reduce((sum, [, shape]) => sum + sizeOf(shape), 0),
    lrMultiplier: multipliers[s]!,
  }));
  const forward = flopsPerByte(config, { positionsPerChunk: targets });
  return {
    model: name,
    config,
    parameters: stages.reduce((n, s) => n + s.parameters, 0),
    stages,
    positionsPerChunk: targets,
    flopsPerByte: { forward, training: 3 * forward, decoding: flopsPerByte(config, { positionsPerChunk: targets, from: 512, to: 768, decode: true }) },
    tensors: own.map(([n, shape]) => ({ name: n, shape })),
  };
}

/** Compares the names and shapes of a checkpoint with those the configuration asks for; values are not read. */
export function inspectCheckpoint(source: TensorSource, config: HNetConfig): CheckpointReport {
  const wanted = parameterShapes(config);
  const dtypes: Record<string, number> = {};
  let values = 0;
  for (const name of source.names) {
    const { dtype, shape } = source.info(name);
    dtypes[dtype] = (dtypes[dtype] ?? 0) + 1;
    values += sizeOf(shape);
  }
  // A tied head is stored once or twice.
  const optional = (name: string) => config.tie_embeddings && name === 'lm_head.weight';
  return {
    file: source.name,
    tensors: source.names.length,
    values,
    dtypes,
    metadata: { ...source.metadata },
    missing: [...wanted.keys()].filter((n) => !source.has(n) && !optional(n)),
    unexpected: source.names.filter((n) => !wanted.has(n)),
    wrongShape: [...wanted].flatMap(([name, model]) => {
      const file = source.has(name) ? [...source.info(name).shape] : model;
      return file.join() === model.join() ? [] : [{ name, file, model }];
    }),
  };
}
