import * as tf from '@tensorflow/tfjs-core';

/** The mLSTM cell out of tfjs' own ops, as one would write it without this library: the parallel form, quadratic in L. Arguments as `mlstm`'s. */
export function mlstmStock(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, inputGate: tf.Tensor, forgetGate: tf.Tensor): tf.Tensor {
  const [, L, , K] = q.shape as [number, number, number, number];
  const heads = (t: tf.Tensor) => tf.transpose(t, t.rank === 4 ? [0, 2, 1, 3] : [0, 2, 1]);
  const forgotten = tf.cumsum(tf.logSigmoid(heads(forgetGate)), 2);
  const causal = tf.tensor2d(Float32Array.from({ length: L * L }, (_, i) => (i % L <= Math.floor(i / L) ? 0 : -1e30)), [L, L]);
  const logs = tf.add(tf.add(tf.expandDims(forgotten, 3), tf.expandDims(tf.sub(heads(inputGate), forgotten), 2)), causal);
  // The empty state counts with m = 0.
  const m = tf.maximum(tf.max(logs, 3), forgotten);
  const scores = tf.mul(tf.mul(tf.matMul(heads(q), heads(k), false, true), 1 / Math.sqrt(K)), tf.exp(tf.sub(logs, tf.expandDims(m, 3))));
  const den = tf.add(tf.maximum(tf.abs(tf.sum(scores, 3)), tf.exp(tf.neg(m))), 1e-6);
  return heads(tf.matMul(tf.div(scores, tf.expandDims(den, 3)), heads(v)));
}
