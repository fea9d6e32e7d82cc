import type * as tf from '@tensorflow/tfjs-core';
import type { SequenceModel } from '../contracts/index.js';
import type { SequenceContext } from '../contracts/sequence-context.js';
import { ConfigError } from '../errors.js';
import type { HasParameters } from '../module/module.js';

/** A sequence model made of blocks over one residual stream, which can be looked at between them: teachers of distillation are. */
export interface LayeredModel<S = any> extends SequenceModel<S> {
  readonly numBlocks: number;
  /** In front of the first block, where what comes in is of another width. */
  readonly inputProjection?: HasParameters | undefined;
  /**
   * The residual stream (B, L, D) after each of the given numbers of blocks, before any final norm; 0: what goes into the first block. No
   * block behind the deepest of them runs. Differentiable; the tensors belong to the caller.
   * @throws ConfigError for a depth the model does not have.
   */
  streams(x: tf.Tensor3D, ctx: SequenceContext, depths: readonly number[]): tf.Tensor3D[];
  /** The output out of the stream after the last block: the final norm, where there is one. */
  fromStream(stream: tf.Tensor3D): tf.Tensor3D;
}

export function isLayered(model: SequenceModel): model is LayeredModel {
  return typeof (model as Partial<LayeredModel>).streams === 'function';
}

export function checkDepths(depths: readonly number[], numBlocks: number): void {
  const wrong = depths.filter((n) => !Number.isInteger(n) || n < 0 || n > numBlocks);
  if (wrong.length || !depths.length) throw new ConfigError(`[streams] depths: expected whole numbers from 0 to ${numBlocks}, one at least, got ${depths.length ? wrong.join(', ') : 'none'}.`);
}
