import * as tf from '@tensorflow/tfjs-core';
import { shapeOf } from '../host.js';
import { matMulOp } from '../mat-mul/op.js';

/** Steps that one matrix product covers: cumprod is slow on `tensorflow` (30 ns an element), so the matrices are kept small. */
const CHUNK = 32;

/**
 * h_t = a_t h_{t-1} + b_t out of a few large tfjs ops; with `reverse` h_t = a_t h_{t+1} + b_t. No division and no logarithm of `a`,
 * so zeros and negative factors are exact.
 *
 * @param b (B, L, D). @param a (B, L) or (B, L, D). @param h0 (B, D) or none. @returns (B, L, D)
 */
export function recurrence(b: tf.Tensor, a: tf.Tensor, h0: tf.Tensor | undefined, reverse: boolean): tf.Tensor {
  return a.rank === 2 ? sharedFactor(b, a, h0, reverse) : ownFactor(b, a, h0, reverse);
}

/**
 * One factor per step for all channels: blocks of 32 steps are products with the (32, 32) matrix of decays
 * M[t, j] = a_{j+1} ... a_t, and the blocks' last states are the same recurrence again, 32 times shorter.
 */
function sharedFactor(b: tf.Tensor, a: tf.Tensor, h0: tf.Tensor | undefined, reverse: boolean): tf.Tensor {
  const [batch, length, width] = shapeOf(b);
  const size = Math.min(CHUNK, length);
  const blocks = Math.ceil(length / size);
  const rest = blocks * size - length;
  // Padding with a = 1, b = 0 hands the state on.
  const a3 = tf.reshape(rest ? tf.concat([a, tf.ones([batch, rest])], 1) : a, [batch * blocks, size]);
  const b3 = tf.reshape(rest ? tf.pad(b, [[0, 0], [0, rest], [0, 0]]) : b, [batch * blocks, size, width]);
  const { decay, carryIn } = decayMatrix(a3, reverse);
  const [local] = matMulOp({ a: decay, b: b3 }, { transposeA: true, transposeB: false });
  let h = tf.reshape(local, [batch, blocks, size, width]);
  const before = blocks === 1 ? h0 && tf.reshape(h0, [batch, 1, 1, width]) : statesBefore(h, carryIn, h0, reverse);
  if (before) h = tf.add(h, tf.mul(before, tf.reshape(carryIn, [batch, blocks, size, 1])));
  const all = tf.reshape(h, [batch, blocks * size, width]);
  return rest ? tf.slice(all, [0, 0, 0], [batch, length, width]) : all;
}

/** decay[n, j, t] = product of a over the steps after j up to t (0 where t comes before j); carryIn[n, t] = product up to t. */
function decayMatrix(a: tf.Tensor, reverse: boolean) {
  const [rows, size] = shapeOf(a);
  const forward = reverse ? tf.reverse(a, 1) : a;
  const step = tf.range(0, size, 1, 'int32');
  const j = tf.reshape(step, [1, size, 1]);
  const t = tf.reshape(step, [1, 1, size]);
  const factors = tf.where(tf.greater(t, j), tf.reshape(forward, [rows, 1, size]), tf.ones([rows, size, size]));
  const lower = tf.mul(tf.cumprod(factors, 2), tf.cast(tf.greaterEqual(t, j), 'float32'));
  const first = tf.slice(forward, [0, 0], [rows, 1]);
  const carryIn = tf.mul(tf.reshape(tf.slice(lower, [0, 0, 0], [rows, 1, size]), [rows, size]), first);
  return reverse ? { decay: tf.reverse(lower, [1, 2]), carryIn: tf.reverse(carryIn, 1) } : { decay: lower, carryIn };
}

/** The state that enters each block, (B, blocks, 1, D), from the states h (B, blocks, size, D) that each block reaches from zero. */
function statesBefore(h: tf.Tensor, carryIn: tf.Tensor, h0: tf.Tensor | undefined, reverse: boolean): tf.Tensor {
  const [batch, blocks, size, width] = shapeOf(h);
  const last = reverse ? 0 : size - 1;
  const ends = tf.reshape(tf.slice(h, [0, 0, last, 0], [batch, blocks, 1, width]), [batch, blocks, width]);
  const factors = tf.reshape(tf.slice(carryIn, [0, last], [batch * blocks, 1]), [batch, blocks]);
  const after = sharedFactor(ends, factors, h0, reverse);
  return tf.reshape(shift(after, h0, reverse), [batch, blocks, 1, width]);
}

/** x_{t-1} at t (or x_{t+1} with `reverse`), `first` (B, D) or zeros entering at the open end. */
export function shift(x: tf.Tensor, first: tf.Tensor | undefined, reverse: boolean): tf.Tensor {
  const [batch, length, width] = shapeOf(x);
  const enters = first ? tf.reshape(first, [batch, 1, width]) : tf.zeros([batch, 1, width]);
  const kept = tf.slice(x, [0, reverse ? 1 : 0, 0], [batch, length - 1, width]);
  return tf.concat(reverse ? [kept, enters] : [enters, kept], 1);
}

/** A factor per channel: log2(L) rounds that each double the number of steps an element has seen. */
function ownFactor(b: tf.Tensor, a: tf.Tensor, h0: tf.Tensor | undefined, reverse: boolean): tf.Tensor {
  const [batch, length, width] = shapeOf(b);
  const back = (x: tf.Tensor, by: number, fill: number) => {
    const kept = tf.slice(x, [0, reverse ? by : 0, 0], [batch, length - by, width]);
    const edge = tf.fill([batch, by, width], fill);
    return tf.concat(reverse ? [kept, edge] : [edge, kept], 1);
  };
  let [h, p] = [tf.clone(b), tf.clone(a)];
  for (let by = 1; by < length; by *= 2) {
    const last = [h, p];
    [h, p] = tf.tidy(() => [tf.add(h, tf.mul(p, back(h, by, 0))), tf.mul(p, back(p, by, 1))]);
    tf.dispose(last);
  }
  return h0 ? tf.add(h, tf.mul(p, tf.reshape(h0, [batch, 1, width]))) : h;
}
