import { checkShape, ShapeError, type Dims } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { convOp } from '../kernels/conv1d/op.js';

export interface CausalConv1dOptions {
  /** (C, K), or (C, 1, K) as in checkpoints; the last tap multiplies the current input. */
  weight: tf.Tensor;
  /** (C). */
  bias?: tf.Tensor | undefined;
  /** Default `'none'`. */
  activation?: 'silu' | 'none' | undefined;
  /** (B, K-1, C): the inputs before the first position, oldest first. Default zeros. */
  initialState?: tf.Tensor | undefined;
  /** (B, L) int32: taps that reach into another document are dropped; the initial state belongs to id 0. */
  documentIds?: tf.Tensor | undefined;
  /** (B) int32: real positions of each row; `lastState` ends there. */
  lengths?: tf.Tensor | undefined;
  /** Default true. Without it the call and its gradient are cheaper. */
  returnLastState?: boolean | undefined;
}

/**
 * Causal depthwise convolution over time: `y[t, c] = act(bias[c] + sum_k weight[c, k] x[t - K + 1 + k, c])`. Differentiable in every
 * float argument.
 *
 * @param x (B, L, C) float32.
 * @returns `y` (B, L, C); `lastState` (B, K-1, C), the last K-1 inputs, oldest first, also when L < K-1.
 * @throws ShapeError when a tensor does not fit the others.
 */
export function causalConv1d(x: tf.Tensor, options: CausalConv1dOptions & { returnLastState: boolean }): { y: tf.Tensor3D; lastState?: tf.Tensor3D };
export function causalConv1d(x: tf.Tensor, options: CausalConv1dOptions): { y: tf.Tensor3D; lastState: tf.Tensor3D };
export function causalConv1d(x: tf.Tensor, options: CausalConv1dOptions): { y: tf.Tensor3D; lastState?: tf.Tensor3D } {
  const { bias, activation = 'none', initialState, documentIds, lengths, returnLastState = true } = options;
  const dims: Dims = {};
  checkShape('causalConv1d', x, 'x', '(B, L, C)', dims, 'float32');
  const width = checkConvWeight('causalConv1d', options, dims);
  if (initialState) checkShape('causalConv1d', initialState, 'initialState', `(B, ${width - 1}, C)`, dims);
  if (documentIds) checkShape('causalConv1d', documentIds, 'documentIds', '(B, L)', dims, 'int32');
  if (lengths) checkShape('causalConv1d', lengths, 'lengths', '(B)', dims, 'int32');
  return tf.tidy(() => {
    const weight = tf.reshape(options.weight, [dims.C!, width]);
    const [y, lastState] = convOp(
      { x, weight, bias, initialState, documentIds, lengths },
      { silu: activation === 'silu', returnState: returnLastState },
    );
    return returnLastState ? { y: y as tf.Tensor3D, lastState: lastState as tf.Tensor3D } : { y: y as tf.Tensor3D };
  });
}

/**
 * One position of `causalConv1d` on top of a state; not differentiable.
 *
 * @param x (B, C). @param options.state (B, K-1, C), oldest first; stays as it is.
 * @returns `y` (B, C) and the next `state`.
 */
export function causalConv1dStep(
  x: tf.Tensor,
  options: Pick<CausalConv1dOptions, 'weight' | 'bias' | 'activation'> & { state: tf.Tensor },
): { y: tf.Tensor2D; state: tf.Tensor3D } {
  const dims: Dims = {};
  checkShape('causalConv1dStep', x, 'x', '(B, C)', dims, 'float32');
  const width = checkConvWeight('causalConv1dStep', options, dims);
  checkShape('causalConv1dStep', options.state, 'state', `(B, ${width - 1}, C)`, dims);
  const [batch, channels] = [dims.B!, dims.C!];
  return tf.tidy(() => {
    const x1 = tf.reshape(x, [batch, 1, channels]);
    const weight = tf.reshape(options.weight, [channels, width]);
    const initialState = width > 1 ? options.state : undefined;
    const [y, state] = convOp({ x: x1, weight, bias: options.bias, initialState }, { silu: options.activation === 'silu', returnState: true });
    return { y: tf.reshape(y!, [batch, channels]) as tf.Tensor2D, state: state as tf.Tensor3D };
  });
}

/** Checks weight and bias; returns K. */
function checkConvWeight(where: string, { weight, bias }: Pick<CausalConv1dOptions, 'weight' | 'bias'>, dims: Dims): number {
  checkShape(where, weight, 'weight', weight?.rank === 3 ? '(C, 1, K)' : '(C, K)', dims);
  if (dims.K === 0) throw new ShapeError(`[${where}] \`weight\`: expected at least one tap, got K = 0.`);
  if (bias) checkShape(where, bias, 'bias', '(C)', dims);
  return dims.K!;
}
