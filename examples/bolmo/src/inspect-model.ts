import { compareTensors, type CheckpointReport } from '@bytelm/example-shared/model';
import { flopsPerByte } from './flops.js';
import { parameterShapes } from './parameter-shapes.js';
import type { BolmoSource } from './source.js';

/** What there is to know about a model without running it. */
export interface ModelReport {
  model: string;
  /** The configuration as stored. */
  config: Readonly<Record<string, unknown>>;
  /** Keys of the configuration that no rule here knows. */
  unknownKeys: string[];
  parameters: number;
  parts: Record<'suffix table' | 'local encoder' | 'global model' | 'local decoder' | 'head', number>;
  bytesPerPatch: number;
  /** FLOPs per byte over windows of 512 bytes. */
  flopsPerByte: { forward: number; training: number };
  tensors: { name: string; shape: number[] }[];
  /** Only of models with weights that are here. */
  checkpoint: CheckpointReport | null;
}

/** What the published models were made for: their subword tokenizer's tokens. */
const BYTES_PER_PATCH = 4.4;

export function inspectConfig({ name, config }: BolmoSource, bytesPerPatch = BYTES_PER_PATCH): ModelReport {
  const tensors = [...parameterShapes(config)].map(([n, shape]) => ({ name: n, shape, size: shape.reduce((a, b) => a * b, 1) }));
  const total = (belongs: (name: string) => boolean) => tensors.filter((t) => belongs(t.name)).reduce((sum, t) => sum + t.size, 0);
  const isTable = (n: string) => n.endsWith('subword_embedding.weight');
  const forward = flopsPerByte(config, { bytesPerPatch });
  return {
    model: name,
    config: config.raw,
    unknownKeys: config.unknownKeys,
    parameters: total(() => true),
    parts: {
      'suffix table': total(isTable),
      'local encoder': total((n) => n.startsWith('model.local_encoder.') && !isTable(n)),
      'global model': total((n) => n.startsWith('model.layers.')),
      'local decoder': total((n) => n.startsWith('model.local_decoder.') || n === 'model.norm.weight'),
      head: total((n) => n.startsWith('lm_head.')),
    },
    bytesPerPatch,
    flopsPerByte: { forward, training: 3 * forward },
    tensors: tensors.map(({ name: n, shape }) => ({ name: n, shape })),
    checkpoint: null,
  };
}

/** Compares the names and shapes of the file with those the configuration asks for; values are not read. */
export async function inspectCheckpoint({ config, weights }: BolmoSource): Promise<CheckpointReport | null> {
  if (!weights?.local) return null;
  const file = await weights.open();
  try {
    return compareTensors(file, parameterShapes(config));
  } finally {
    await file.close();
  }
}
