import type * as tf from '@tensorflow/tfjs-core';
import type { Segmentation } from '../contracts/segmentation.js';
import type { HasParameters } from '../module/module.js';

/** Rows of ids to train on. Each row holds L+1 ids: positions 0..L-1 are inputs, 1..L their targets. */
export interface TrainBatch {
  /** (B * length) row-major. */
  ids: Int32Array;
  /** B. */
  batch: number;
  /** L+1 ids a row. */
  length: number;
  /** Real ids of each row, where rows end in padding. */
  lengths?: Int32Array | undefined;
  /** (B * length) ids of packed documents, non-decreasing within a row. */
  documentIds?: Int32Array | undefined;
  /**
   * Where the outermost stage cuts the inputs (B, L), decided ahead of time: patches that were prepared with the data, in place of what the
   * model's chunker would say. Whoever computes the loss frees it.
   */
  segmentation?: Segmentation | undefined;
}

/** What a model gives for one batch. The caller owns every tensor. */
export interface LossAndGrads {
  /** What was differentiated: the mean over the batch, in nats. */
  loss: tf.Scalar;
  /** Its parts and other numbers worth logging, e.g. `crossEntropy`, `ratioLoss`, `bytesPerChunk`. */
  parts: Record<string, tf.Scalar | number>;
  /** By parameter name; a tied parameter appears under one of its names (or the same tensor under several). */
  grads: Map<string, tf.Tensor>;
}

/** What the training loop needs of a model. */
export interface TrainableModel extends HasParameters {
  lossAndGrads(batch: TrainBatch): Promise<LossAndGrads>;
}

/** An endless supply of batches whose position can be stored and taken up again. */
export interface BatchSource {
  next(): Promise<TrainBatch>;
  /** JSON-able position: `restore(state())` continues with the very next batch. */
  state(): unknown;
  restore(state: unknown): void;
  close?(): Promise<void>;
}

/** Learning rate of update `step`, counted from 0. */
export type Schedule = (step: number) => number;
