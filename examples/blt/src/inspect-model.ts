import { compareTensors, type CheckpointReport } from '@bytelm/example-shared/model';
import { bltView, entropyView, type BLTSource } from './checkpoint/index.js';
import type { BLTConfig } from './config/index.js';
import { flopsPerByte } from './flops.js';
import { entropyParameterShapes, parameterShapes } from './parameter-shapes.js';

/** What there is to know about a model without running it. */
export interface ModelReport {
  model: string;
  config: BLTConfig;
  /** Keys of the configuration file that no rule here knows. */
  unknownKeys: string[];
  parameters: number;
  /** Where they are; the entropy model's are not among `parameters`. */
  parts: Record<'hash n-grams' | 'local encoder' | 'main network' | 'local decoder' | 'entropy model', number>;
  /** Bytes per patch that FLOPs are counted with. */
  bytesPerPatch: number;
  /** FLOPs per byte over windows of 512 bytes; the entropy model's where patches are by entropies. */
  flopsPerByte: { forward: number; training: number; entropyModel: number };
  tensors: { name: string; shape: number[] }[];
  /** Only of models with weights that are here. */
  checkpoints: CheckpointReport[];
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

export function inspectConfig({ name, config, parsed }: BLTSource, bytesPerPatch = config.patching.patchSize): ModelReport {
  const shapes = parameterShapes(config);
  const total = (start: string) => [...shapes].filter(([n]) => n.startsWith(start)).reduce((sum, [, shape]) => sum + sizeOf(shape), 0);
  const entropy = config.patching.mode === 'entropy' && config.entropyModel ? config.entropyModel : null;
  const flops = flopsPerByte({ ...config, entropyModel: entropy }, { bytesPerPatch });
  return {
    model: name,
    config,
    unknownKeys: Object.keys(parsed.unknown),
    parameters: total(''),
    parts: {
      'hash n-grams': total('encoder_hash_tok_embedding.'),
      'local encoder': total('local_encoder.'),
      'main network': total('global_transformer.'),
      'local decoder': total('local_decoder.'),
      'entropy model': entropy ? [...entropyParameterShapes(entropy).values()].reduce((sum, shape) => sum + sizeOf(shape), 0) : 0,
    },
    bytesPerPatch,
    flopsPerByte: { forward: flops.model, training: 3 * flops.model, entropyModel: flops.entropyModel },
    tensors: [...shapes].map(([n, shape]) => ({ name: n, shape })),
    checkpoints: [],
  };
}

/** Compares the names and shapes of the files with those the configuration asks for, in whatever layout they are; values are not read. */
export async function inspectCheckpoints(source: BLTSource): Promise<CheckpointReport[]> {
  const { config, weights, entropyWeights } = source;
  if (!weights?.local) return [];
  const reports: CheckpointReport[] = [];
  const file = await weights.open();
  try {
    reports.push(compareTensors(bltView(file, config), parameterShapes(config)));
    const inside = entropyWeights ? undefined : entropyView(file);
    if (inside && config.entropyModel) reports.push({ ...compareTensors(inside, entropyParameterShapes(config.entropyModel)), file: `${file.name} (entropy model)` });
  } finally {
    await file.close();
  }
  if (entropyWeights?.local && config.entropyModel) {
    const own = await entropyWeights.open();
    try {
      const view = entropyView(own);
      if (view) reports.push(compareTensors(view, entropyParameterShapes(config.entropyModel)));
    } finally {
      await own.close();
    }
  }
  return reports;
}
