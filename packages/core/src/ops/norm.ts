import type * as tf from '@tensorflow/tfjs-core';
import { checkShape, type Dims } from '../check-shape.js';
import { ShapeError } from '../errors.js';
import { gatedRmsNormOp } from '../kernels/norm/gated.js';
import { addRmsNormOp, rmsNormOp } from '../kernels/norm/rms-norm.js';

/** Checks that groups divide the row; the whole row is the default group. */
function groupOf(where: string, width: number, groupSize: number | undefined | null): number {
  const size = groupSize ?? width;
  if (!(Number.isInteger(size) && size > 0 && width % size === 0)) {
    throw new ShapeError(`[${where}] \`groupSize\`: expected a positive divisor of D = ${width}, got ${size}. Hint: D / numGroups.`);
  }
  return size;
}

/**
 * RMS norm: `y = x / sqrt(mean(x^2) + eps) * weight`, the mean over groups of `groupSize` values.
 *
 * @param x (..., D) float32. @param weight (D).
 * @param options.eps inside the root, default 1e-5. @param options.groupSize divides D; default the whole row.
 * @returns (..., D)
 * @throws ShapeError
 * @source Zhang & Sennrich, arXiv 1910.07467.
 */
export function rmsNorm<T extends tf.Tensor>(x: T, weight: tf.Tensor, { eps = 1e-5, groupSize }: { eps?: number; groupSize?: number | null } = {}): T {
  const dims: Dims = {};
  checkShape('rmsNorm', x, 'x', '(..., D)', dims, 'float32');
  checkShape('rmsNorm', weight, 'weight', '(D)', dims, 'float32');
  return rmsNormOp({ x, weight }, { eps, groupSize: groupOf('rmsNorm', dims.D, groupSize) })[0] as T;
}

/**
 * Residual sum and RMS norm in one pass: `sum = x + residual`, `normed = rmsNorm(sum)`. Both results carry gradients.
 *
 * @param x, residual (..., D) of equal shape. @param weight (D).
 * @throws ShapeError
 */
export function addRmsNorm<T extends tf.Tensor>(x: T, residual: T, weight: tf.Tensor, { eps = 1e-5 }: { eps?: number } = {}): { normed: T; sum: T } {
  const dims: Dims = {};
  checkShape('addRmsNorm', x, 'x', '(..., D)', dims, 'float32');
  checkShape('addRmsNorm', weight, 'weight', '(D)', dims, 'float32');
  sameShape('addRmsNorm', x, residual, 'residual');
  const [normed, sum] = addRmsNormOp({ x, residual, weight }, { eps, groupSize: groupOf('addRmsNorm', dims.D, undefined) });
  return { normed: normed as T, sum: sum as T };
}

/**
 * Gated RMS norm of Mamba-2: `rmsNorm(x * silu(gate))`, or `rmsNorm(x) * silu(gate)` with `normBeforeGate`.
 *
 * @param x, gate (..., D) of equal shape. @param weight (D).
 * @throws ShapeError
 * @source Dao & Gu, arXiv 2405.21060.
 */
export function rmsNormGated<T extends tf.Tensor>(
  x: T,
  gate: T,
  weight: tf.Tensor,
  { eps = 1e-5, groupSize, normBeforeGate = false }: { eps?: number; groupSize?: number | null; normBeforeGate?: boolean } = {},
): T {
  const dims: Dims = {};
  checkShape('rmsNormGated', x, 'x', '(..., D)', dims, 'float32');
  checkShape('rmsNormGated', weight, 'weight', '(D)', dims, 'float32');
  sameShape('rmsNormGated', x, gate, 'gate');
  return gatedRmsNormOp({ x, gate, weight }, { eps, groupSize: groupOf('rmsNormGated', dims.D, groupSize), normBeforeGate })[0] as T;
}

function sameShape(where: string, x: tf.Tensor, y: tf.Tensor, name: string): void {
  checkShape(where, y, name, `(${x.shape.join(', ')})`, {}, 'float32');
}
