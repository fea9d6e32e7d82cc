import { compareTensors, type CheckpointReport } from '@bytelm/example-shared/model';
import type { HNetSource } from './checkpoint.js';
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

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

export function inspectConfig({ name, config, ratioTargets }: HNetSource, positionsPerChunk?: readonly number[]): ModelReport {
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

/** Compares the names and shapes of the file with those the configuration asks for; a tied head is stored once or twice. Weights that are not here are not fetched. */
export async function inspectCheckpoint({ config, weights }: HNetSource): Promise<CheckpointReport | undefined> {
  if (!weights?.local) return undefined;
  const file = await weights.open();
  try {
    return compareTensors(file, parameterShapes(config), (name) => config.tie_embeddings && name === 'lm_head.weight');
  } finally {
    await file.close();
  }
}
