import { realMask } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { cellSizes, logGates, type CellAttrs, type CellInput } from './attrs.js';

/** The definition, one token after another: `m = max(lf + m, i)`, `C = f C + i k vᵀ`, `n = f n + i k`, `h = Cᵀq / (max(|n q|, e^-m) + eps)`. */
export function cellNaive(inputs: { [K in CellInput]?: tf.Tensor }, attrs: CellAttrs): tf.Tensor[] {
  const { batch, length, heads, keyDim, valueDim } = cellSizes(inputs.q!, inputs.v!);
  const gates = logGates(inputs.inputGate!, inputs.forgetGate!, realMask(inputs.lengths, length));
  const at = (t: tf.Tensor, i: number) => (length === 1 ? tf.reshape(t, [batch, ...t.shape.slice(2)]) : tf.squeeze(tf.slice(t, [0, i], [batch, 1]), [1]));
  let C: tf.Tensor = inputs.C ?? tf.zeros([batch, heads, keyDim, valueDim]);
  let n: tf.Tensor = inputs.n ?? tf.zeros([batch, heads, keyDim]);
  let m: tf.Tensor = inputs.m ?? tf.zeros([batch, heads]);
  let previousId: tf.Tensor = tf.zeros([batch], 'int32');
  const hs: tf.Tensor[] = [];
  for (let t = 0; t < length; t++) {
    if (inputs.documentIds) {
      const id = at(inputs.documentIds, t);
      const same = tf.cast(tf.equal(id, previousId), 'float32');
      C = tf.mul(C, tf.reshape(same, [batch, 1, 1, 1]));
      n = tf.mul(n, tf.reshape(same, [batch, 1, 1]));
      m = tf.mul(m, tf.reshape(same, [batch, 1]));
      previousId = id;
    }
    const [i, kept] = [at(gates.input, t), tf.add(at(gates.forget, t), m)];
    m = tf.maximum(kept, i);
    const [fa, ia] = [tf.exp(tf.sub(kept, m)), tf.exp(tf.sub(i, m))];
    const k = tf.mul(at(inputs.k!, t), tf.expandDims(ia, 2));
    n = tf.add(tf.mul(n, tf.expandDims(fa, 2)), k);
    C = tf.add(tf.mul(C, tf.reshape(fa, [batch, heads, 1, 1])), tf.mul(tf.expandDims(k, 3), tf.expandDims(at(inputs.v!, t), 2)));
    const q = tf.mul(at(inputs.q!, t), 1 / Math.sqrt(keyDim));
    const den = tf.add(tf.maximum(tf.abs(tf.sum(tf.mul(q, n), 2)), tf.exp(tf.neg(m))), attrs.eps);
    hs.push(tf.div(tf.sum(tf.mul(C, tf.expandDims(q, 3)), 2), tf.expandDims(den, 2)));
  }
  const h = tf.stack(hs, 1);
  return attrs.returnFinalState ? [h, tf.clone(C), tf.clone(n), tf.clone(m)] : [h];
}
