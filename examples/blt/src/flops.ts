import { meanKeys } from '@bytelm/example-shared/model';
import type { BLTConfig, EntropyModelConfig, StackConfig } from './config/index.js';
import { hasTokenProjection } from './parameter-shapes.js';

export interface FlopsOptions {
  /** Measured bytes per patch. */
  bytesPerPatch: number;
  /** Positions that are averaged over, in bytes. Default 0 to 512. */
  from?: number;
  to?: number;
}

/** FLOPs per byte. The entropy model runs once a byte while decoding, and in training only where patches are not made beforehand. */
export interface FlopsPerByte {
  model: number;
  entropyModel: number;
}

/**
 * Forward FLOPs per byte: true matmul sizes, 2 per multiply-add, causal half of attention, lookups and elementwise work 0. Training costs three
 * times as much. What runs on patches costs its share of bytes only.
 */
export function flopsPerByte(config: BLTConfig, { bytesPerPatch, from = 0, to = 512 }: FlopsOptions): FlopsPerByte {
  const { encoder, global, decoder, crossAttention: cross, vocabSize, entropyModel } = config;
  const patches = 1 / bytesPerPatch;
  const k = cross.queriesPerChunk;
  const [D, Dg] = [encoder.dModel, global.dModel];
  const poolLayers = cross.encoderLayers === 'all' ? encoder.numLayers : 1;
  const readLayers = cross.decoderLayers === 'all' ? decoder.numLayers : 1;
  // Queries and outputs for k slots a patch, keys and values for every byte, scores and sums of k slots a byte.
  const pool = 2 * D * k * D * patches + poolLayers * (2 * k * 2 * D * D * patches + 4 * D * D + 4 * k * D);
  const project = hasTokenProjection(config) ? 2 * k * D * Dg * patches : 0;
  // The other way round in the decoder.
  const read = 2 * Dg * k * D * patches + readLayers * (4 * D * D + 4 * k * D * D * patches + 4 * k * D);
  const model =
    layers(encoder, 1, from, to) + pool + project + layers(global, patches, from, to) + read + layers(decoder, 1, from, to) + 2 * vocabSize * D;
  return { model, entropyModel: entropyModel ? entropyFlops(entropyModel, from, to) : 0 };
}

/** The same for an entropy model alone. */
export const entropyFlops = (config: EntropyModelConfig, from = 0, to = 512): number => layers(config, 1, from, to) + 2 * config.vocabSize * config.dModel;

function layers({ dModel: D, numLayers, numHeads, numKvHeads, dIntermediate, window }: StackConfig, perByte: number, from: number, to: number): number {
  const projections = 2 * D * D * (2 + (2 * numKvHeads) / numHeads);
  const attention = 4 * D * meanKeys(from * perByte, to * perByte, window ?? undefined);
  return numLayers * (projections + attention + 6 * D * dIntermediate) * perByte;
}
