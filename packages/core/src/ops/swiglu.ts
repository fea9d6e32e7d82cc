import type * as tf from '@tensorflow/tfjs-core';
import { checkShape } from '../check-shape.js';
import { ShapeError } from '../errors.js';
import { siluOp, swigluOp } from '../kernels/swiglu/op.js';
import { splitSwigluOp } from '../kernels/swiglu/split.js';

/** `x * sigmoid(x)`, any shape, float32. */
export function silu<T extends tf.Tensor>(x: T): T {
  checkShape('silu', x, 'x', '(...)', {}, 'float32');
  return siluOp({ x }, {})[0] as T;
}

/**
 * `silu(gate) * up`, elementwise.
 *
 * @param gate, up equal shapes, float32.
 * @throws ShapeError
 * @source Shazeer, arXiv 2002.05202.
 */
export function swiglu<T extends tf.Tensor>(gate: T, up: T): T {
  checkShape('swiglu', gate, 'gate', '(...)', {}, 'float32');
  checkShape('swiglu', up, 'up', `(${gate.shape.join(', ')})`, {}, 'float32');
  return swigluOp({ gate, up }, {})[0] as T;
}

/**
 * SwiGLU on one packed tensor. Checkpoints differ in the order: H-Net and state-spaces keep the value first and the gate second.
 *
 * @param packed (..., 2F) float32.
 * @returns (..., F)
 * @throws ShapeError
 */
export function splitSwiglu(packed: tf.Tensor, { order }: { order: 'value-gate' | 'gate-value' }): tf.Tensor {
  checkShape('splitSwiglu', packed, 'packed', '(..., W)', {}, 'float32');
  const width = packed.shape[packed.rank - 1];
  if (width % 2 !== 0) throw new ShapeError(`[splitSwiglu] \`packed\`: expected an even last axis, got (${packed.shape.join(', ')}). Hint: it holds value and gate side by side.`);
  return splitSwigluOp({ packed }, { gateFirst: order === 'gate-value' })[0];
}
