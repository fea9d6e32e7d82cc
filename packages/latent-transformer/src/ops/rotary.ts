import * as tf from '@tensorflow/tfjs-core';
import { checkShape, ShapeError, type Dims } from '@bytelm/core';
import { rotaryOp } from '../kernels/rotary/op.js';

export interface RotaryOptions {
  /** (P, R/2) cosines of the angles, row = position; see `RotaryEmbedding.tables`. */
  cos: tf.Tensor2D;
  /** (P, R/2) sines. */
  sin: tf.Tensor2D;
  /** (B, T) int32 table rows. Default: `offset` + index. */
  positions?: tf.Tensor2D | undefined;
  /** Position of index 0. Default 0. */
  offset?: number;
  /** Pairs (2i, 2i+1) as in BLT's code; default false: pairs (i, i + R/2) as in H-Net and transformers. */
  interleaved?: boolean;
}

/**
 * Rotary position embedding: turns channel pair i of every head by `positions · θ^(−2i/R)`: `(a, b) → (a cos − b sin, a sin + b cos)`.
 * The first R channels take part, R being twice the width of the tables; the rest pass through.
 *
 * @param x (B, T, H, D) float32, R ≤ D.
 * @returns (B, T, H, D). Differentiable by x (the gradient is turned back).
 * @throws ShapeError
 * @source Su et al., arXiv 2104.09864.
 * @example
 * const rope = new RotaryEmbedding({ rotaryDim: 32 });
 * const y = applyRotary(x, { ...rope.tables(x.shape[1]) });
 */
export function applyRotary(x: tf.Tensor4D, options: RotaryOptions): tf.Tensor4D {
  const { cos, sin, positions, offset = 0, interleaved = false } = options;
  const d: Dims = {};
  checkShape('applyRotary', x, 'x', '(B, T, H, D)', d, 'float32');
  checkShape('applyRotary', cos, 'cos', '(P, half)', d, 'float32');
  checkShape('applyRotary', sin, 'sin', '(P, half)', d, 'float32');
  if (positions) checkShape('applyRotary', positions, 'positions', '(B, T)', d, 'int32');
  if (2 * d.half! > d.D!) {
    throw new ShapeError(`[applyRotary] \`cos\`: expected at most ${d.D} / 2 pairs for heads of ${d.D} channels, got ${d.half}. Hint: rotaryDim <= headDim.`);
  }
  if (!positions && !(offset >= 0 && offset + d.T! <= d.P!)) {
    throw new ShapeError(`[applyRotary] \`cos\`: expected rows for positions ${offset}..${offset + d.T! - 1}, got ${d.P} rows. Hint: tables(${offset + d.T!}).`);
  }
  return rotaryOp({ x, cos, sin, positions }, { interleaved, inverse: false, offset: positions ? 0 : offset })[0] as tf.Tensor4D;
}
