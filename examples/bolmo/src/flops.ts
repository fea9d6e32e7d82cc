import { meanKeys } from '@bytelm/example-shared/model';
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
export function flopsPerByte(config: BolmoConfig, options: FlopsOptions): number {
  const { dModel: D } = config.body;
  return byteModels(config, options.decode) + (sum(patchLayers(config, options)) + 2 * D * D) / options.bytesPerPatch;
}

export interface Stage1FlopsOptions extends FlopsOptions {
  /** Rows of the teacher's head. */
  teacherVocabSize: number;
  /** Blocks behind which pooled patches are compared with the teacher's embeddings. */
  encoderBlocks: number;
}

/**
 * Training FLOPs per byte of stage 1: the teacher reads once; byte models are trained; pooled patches go through the first frozen blocks and
 * back, which costs twice their forward pass since no weight needs a gradient.
 */
export function stage1FlopsPerByte(config: BolmoConfig, { teacherVocabSize, encoderBlocks, ...options }: Stage1FlopsOptions): number {
  const { dModel: D } = config.body;
  const layers = patchLayers(config, options);
  const perPatch = 3 * 2 * D * D + 2 * sum(layers.slice(0, encoderBlocks));
  return 3 * byteModels(config) + perPatch / options.bytesPerPatch + teacherFlopsPerByte(config, { teacherVocabSize, ...options });
}

/** Of reading a text with the source model, layers and head, per byte of it. */
export function teacherFlopsPerByte(config: BolmoConfig, { teacherVocabSize, ...options }: FlopsOptions & { teacherVocabSize: number }): number {
  return (sum(patchLayers(config, options)) + 2 * config.body.dModel * teacherVocabSize) / options.bytesPerPatch;
}

/** What runs on every byte: both byte models, the boundary predictor, the residual's projection, the head. */
function byteModels({ body: { dModel: D }, local, vocabSize }: BolmoConfig, decode = false): number {
  const states = ((D / 2) * D) / local.numHeads;
  const cell = 4 * states + (decode ? 0 : CHUNK * (D / 2 + D));
  const layer = 2 * D * 4 * D + 4 * D * local.numHeads + cell + 6 * D * local.dIntermediate;
  const boundaries = decode ? 0 : 4 * D * D;
  return (local.encoderLayers + local.decoderLayers) * layer + boundaries + 2 * D * D + 2 * D * vocabSize;
}

/** Each layer of the body, for one patch. */
function patchLayers({ body }: BolmoConfig, { bytesPerPatch, from = 0, to = 512 }: FlopsOptions): number[] {
  const { dModel: D, numHeads, numKvHeads, headDim, dIntermediate } = body;
  const queries = numHeads * headDim;
  const projections = 4 * D * queries + 4 * D * numKvHeads * headDim;
  return body.windows.map((w) => projections + 4 * queries * meanKeys(from / bytesPerPatch, to / bytesPerPatch, w < 0 ? Infinity : w + 1) + 6 * D * dIntermediate);
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
