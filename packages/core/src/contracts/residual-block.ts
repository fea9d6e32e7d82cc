import type * as tf from '@tensorflow/tfjs-core';
import type { HasParameters } from '../module/module.js';
import type { OnDevice } from './on-device.js';
import type { SequenceContext } from './sequence-context.js';

/**
 * What travels between pre-norm blocks: the branch output that is not yet added, and the stream of everything added so far. Keeping them
 * apart lets the next block add and normalize in one pass. `residual` is absent before the first block.
 */
export interface ResidualPair<T extends tf.Tensor = tf.Tensor3D> {
  hidden: T;
  residual?: T | undefined;
}

/** A pair that left a block: both parts are there and belong to the caller. */
export interface AddedPair<T extends tf.Tensor = tf.Tensor3D> {
  hidden: T;
  residual: T;
}

/**
 * One pre-norm block of an isotropic stack, attention or Mamba-2 alike:
 * `residual += hidden; hidden = mixer(norm1(residual))`, and with an MLP once more `residual += hidden; hidden = mlp(norm2(residual))`.
 * The stack's final norm adds the last `hidden`.
 *
 * States are owned and passed on as in `SequenceModel`: `prefill` and `step` consume the state they get and return the one to use next.
 */
export interface ResidualBlock<S = any> extends HasParameters {
  readonly dModel: number;
  /** How often the block adds to the residual stream: 1, or 2 with an MLP. Initializations depend on it. */
  readonly additions: 1 | 2;
  /** (B, L, D), differentiable. */
  forward(pair: ResidualPair, ctx: SequenceContext): AddedPair;
  initState(batchSize: number): S;
  /** Any number of positions on top of a state; rows may have different `ctx.lengths`. */
  prefill(pair: ResidualPair, state: S, ctx: SequenceContext): AddedPair & { state: S };
  /**
   * One position, (R, D): one row for each entry of `rows` (ascending; default all), other rows of the state stay as they are.
   * @param mayReuse The block may put its results into the pair's own tensors and return those. Default: it makes new ones.
   */
  step(pair: ResidualPair<tf.Tensor2D>, state: S, rows?: readonly number[], mayReuse?: boolean): AddedPair<tf.Tensor2D> & { state: S };
  /** As in `SequenceModel`: the next position of these rows begins a new document. */
  startDocument(state: S, rows: readonly number[]): S;
  /** Blocks whose past can be shortened, as in `SequenceModel`. */
  rollback?(state: S, rows: readonly number[], steps: readonly number[]): S;
  /** Blocks that attend to the main network's outputs, as in `SequenceModel`. */
  remember?(chunks: tf.Tensor2D, state: S, rows: readonly number[]): S;
  /** Blocks whose steps can be recorded, as in `SequenceModel`; pairs of (B, D). */
  readonly onDevice?: OnDevice<ResidualPair<tf.Tensor2D>, AddedPair<tf.Tensor2D>, S> | undefined;
}
