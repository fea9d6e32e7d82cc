// Logarithms and exponentials near 1 that keep their digits on every backend: webgpu computes expm1 as exp(x) − 1 and log1p as log(1 + x).
import * as tf from '@tensorflow/tfjs-core';

/** `Σ c_k x^k` by Horner's rule. */
function polynomial(x: tf.Tensor, coefficients: readonly number[]): tf.Tensor {
  return coefficients.reduceRight<tf.Tensor>((sum, c) => tf.add(tf.mul(sum, x), c), tf.zerosLike(x));
}

/** x^k / (k + 1)!: the Taylor series of (e^x − 1) / x. */
const EXPM1 = [1, 2, 6, 24, 120, 720, 5040, 40320, 362880].map((f) => 1 / f);
/** (s²)^k / (2k + 1): the series of artanh(s) / s. */
const ARTANH = [1, 3, 5, 7, 9, 11, 13, 15].map((n) => 1 / n);

/** `e^x − 1` for x ≤ 0. */
export function expm1(x: tf.Tensor): tf.Tensor {
  const small = tf.maximum(x, tf.fill(x.shape, -0.5));
  return tf.where(tf.greater(x, -0.5), tf.mul(small, polynomial(small, EXPM1)), tf.sub(tf.exp(x), 1));
}

/** `log(1 + y)` for −1/2 ≤ y ≤ 1: 2 artanh(y / (2 + y)). */
export function log1p(y: tf.Tensor): tf.Tensor {
  const s = tf.div(y, tf.add(y, 2));
  return tf.mul(tf.mul(2, s), polynomial(tf.square(s), ARTANH));
}

/** `log(1 − e^x)` for x < 0: near 0 the difference cancels, far below the sum with 1 is lost in rounding. */
export function log1mexp(x: tf.Tensor): tf.Tensor {
  // Each form sees only arguments it can bear: the other's infinity would poison a masked sum.
  const far = log1p(tf.neg(tf.exp(tf.minimum(x, tf.fill(x.shape, -Math.LN2)))));
  const near = tf.log(tf.neg(expm1(tf.maximum(x, tf.fill(x.shape, -Math.LN2)))));
  return tf.where(tf.less(x, -Math.LN2), far, near);
}

/** `1 − e^x` for x ≤ 0. */
export const complement = (x: tf.Tensor): tf.Tensor => tf.neg(expm1(x));
