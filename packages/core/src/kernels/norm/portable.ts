import * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '../host.js';
import { matMulOp } from '../mat-mul/op.js';
import { sumRowsOp } from '../rows/sum-rows.js';

export interface NormAttrs {
  eps: number;
  /** Divides the width of a row; each group of so many values is normalized by itself. */
  groupSize: number;
}

export interface GatedNormAttrs extends NormAttrs {
  normBeforeGate: boolean;
}

/** (rows, groups, group size): where the mean is the last axis. */
function grouped(x: tf.Tensor, groupSize: number): tf.Tensor {
  const width = x.shape[x.rank - 1];
  return tf.reshape(x, [sizeOf(x.shape.slice(0, -1)), width / groupSize, groupSize]);
}

/** y = x r w and r = 1 / sqrt(mean(x^2) + eps), (rows, groups). */
export function normalize(x: tf.Tensor, weight: tf.Tensor, { eps, groupSize }: NormAttrs) {
  const g = grouped(x, groupSize);
  const r = tf.rsqrt(tf.add(tf.mean(tf.square(g), 2, true), eps));
  const y = tf.mul(tf.mul(g, r), tf.reshape(weight, [-1, groupSize]));
  return { y: tf.reshape(y, x.shape), r: tf.reshape(r, r.shape.slice(0, 2)) };
}

/** With n = x r: dw = sum over rows of dy n, dx = r (dy w - n c), c = mean over the group of dy w n. */
export function normGradient(x: tf.Tensor, weight: tf.Tensor, r: tf.Tensor, dy: tf.Tensor, { groupSize }: NormAttrs) {
  const [rows, groups] = r.shape;
  const width = groups * groupSize;
  const scale = tf.reshape(r, [rows, groups, 1]);
  const n = tf.mul(grouped(x, groupSize), scale);
  const d = grouped(dy, groupSize);
  const p = tf.mul(d, n);
  const [dw] = sumRowsOp({ x: tf.reshape(p, [rows, width]) }, {});
  const w = tf.reshape(weight, [groups, groupSize]);
  const c = tf.mul(weightedSum(p, w), 1 / groupSize);
  const dx = tf.mul(tf.sub(tf.mul(d, w), tf.mul(n, c)), scale);
  return { dx: tf.reshape(dx, x.shape), dw };
}

/** Sum over a group of p w, (rows, groups, 1): one product with the weight as a column where there is a single group. */
function weightedSum(p: tf.Tensor, w: tf.Tensor): tf.Tensor {
  const [rows, groups, size] = p.shape;
  if (groups > 1) return tf.sum(tf.mul(p, w), 2, true);
  const [c] = matMulOp({ a: tf.reshape(p, [rows, size]), b: tf.reshape(w, [size, 1]) }, { transposeA: false, transposeB: false });
  return tf.reshape(c, [rows, 1, 1]);
}
