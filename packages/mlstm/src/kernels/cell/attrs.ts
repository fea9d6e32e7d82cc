import * as tf from '@tensorflow/tfjs-core';

/** Inputs of the cell that every implementation takes; shapes in `ops/mlstm.ts`. `C`, `n`, `m` are the initial state, all three or none. */
export type CellInput = 'q' | 'k' | 'v' | 'inputGate' | 'forgetGate' | 'C' | 'n' | 'm' | 'documentIds' | 'lengths';
export const CELL_INPUTS: readonly CellInput[] = ['q', 'k', 'v', 'inputGate', 'forgetGate', 'C', 'n', 'm', 'documentIds', 'lengths'];

/** The backward pass also gets h, its gradient, and those of the final state, absent when it was not asked for. */
export type CellGradInput = CellInput | 'h' | 'dh' | 'dC' | 'dn' | 'dm';
export const CELL_GRAD_INPUTS: readonly CellGradInput[] = [...CELL_INPUTS, 'h', 'dh', 'dC', 'dn', 'dm'];

export interface CellAttrs {
  /** Positions a chunk at most. */
  chunkSize: number;
  /** Token by token instead; the backward pass stays chunkwise. */
  recurrent: boolean;
  /** Added to the denominator. */
  eps: number;
  /** The backward pass takes denominator and stabiliser for constants. */
  publishedGradient: boolean;
  returnFinalState: boolean;
}

/** Sizes of one call, read off the inputs. */
export interface CellSizes {
  batch: number;
  length: number;
  heads: number;
  keyDim: number;
  valueDim: number;
}

export function cellSizes(q: { shape: number[] }, v: { shape: number[] }): CellSizes {
  const [batch, length, heads, keyDim] = q.shape as [number, number, number, number];
  return { batch, length, heads, keyDim, valueDim: v.shape[3]! };
}

/** Equal chunks: 65 positions are 33 + 32, not 64 + 1. */
export const equalChunk = (length: number, chunkSize: number): number => Math.ceil(length / Math.ceil(length / chunkSize));

/** Which gradients `MlstmGrad` returns, in order. */
export function cellGradOutputs(has: (name: CellInput) => boolean): CellInput[] {
  return (['q', 'k', 'v', 'inputGate', 'forgetGate', 'C', 'n', 'm'] as const).filter(has);
}

/** Log weight of what does not count: exp of it is 0, and unlike -Infinity it never makes NaN. */
export const NEVER = -1e30;

/** ln sigmoid(x) without overflow. */
export function logSigmoid(x: tf.Tensor): tf.Tensor {
  return tf.neg(tf.add(tf.relu(tf.neg(x)), tf.log1p(tf.exp(tf.neg(tf.abs(x))))));
}

/** (B, L, H) log weights of both gates: at padding nothing enters and nothing is forgotten. */
export function logGates(inputGate: tf.Tensor, forgetGate: tf.Tensor, mask: tf.Tensor | undefined): { input: tf.Tensor; forget: tf.Tensor } {
  const forget = logSigmoid(forgetGate);
  if (!mask) return { input: inputGate, forget };
  return { input: tf.add(tf.mul(inputGate, mask), tf.mul(tf.sub(1, mask), NEVER)), forget: tf.mul(forget, mask) };
}
