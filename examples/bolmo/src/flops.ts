import type { BolmoConfig } from './config.js';

export interface FlopsOptions {
  /** Measured bytes per patch. */
  bytesPerPatch: number;
  /** Positions that are averaged over, in bytes. Default 0 to 512. */
  from?: number;
  to?: number;
  /** One byte at a time: the recurrent form of the mLSTM, and no boundary predictor. Default false. */
  decode?: boolean;
}

/** Positions of a chunk of the mLSTM's chunkwise form. */
const CHUNK = 64;

/**
 * Forward FLOPs per byte: true matmul sizes, 2 per multiply-add, causal half of attention, lookups and elementwise work 0. Training costs
 * three times as much. What runs on patches costs its share of bytes only.
 */
export function flopsPerByte({ body, local, vocabSize }: BolmoConfig, { bytesPerPatch, from = 0, to = 512, decode = false }: FlopsOptions): number {
  const { dModel: D, numHeads, numKvHeads, headDim, dIntermediate } = body;
  const patches = 1 / bytesPerPatch;
  const states = ((D / 2) * D) / local.numHeads;
  const cell = 4 * states + (decode ? 0 : CHUNK * (D / 2 + D));
  const byteLayer = 2 * D * 4 * D + 4 * D * local.numHeads + cell + 6 * D * local.dIntermediate;
  const queries = numHeads * headDim;
  const projections = 4 * D * queries + 4 * D * numKvHeads * headDim;
  const layers = body.windows.map((w) => projections + 4 * queries * meanKeys(from * patches, to * patches, w < 0 ? Infinity : w + 1) + 6 * D * dIntermediate);
  const main = layers.reduce((a, b) => a + b, 0) + 2 * D * D;
  const boundaries = decode ? 0 : 4 * D * D;
  return (local.encoderLayers + local.decoderLayers) * byteLayer + boundaries + 2 * D * D + main * patches + 2 * D * vocabSize;
}

/** Mean number of keys that queries at positions from..to see; fractions of a position are fine. */
function meanKeys(from: number, to: number, window: number): number {
  const total = (n: number) => (n <= window ? (n * (n + 1)) / 2 : (window * (window + 1)) / 2 + (n - window) * window);
  return (total(to) - total(from)) / (to - from);
}
