import * as tf from '@tensorflow/tfjs-core';
import { matMul, type OpInputs } from '@bytelm/core';
import { headsFirst, queryBlocks, rowsOf, sizesOf } from './blocks.js';
import { HIDDEN, maskBias, type AttentionAttrs, type AttentionInput } from './mask.js';

/** Blocks of queries against the keys they can see, so that memory grows with the length and not with its square. */
export function attentionPortable(inputs: OpInputs<AttentionInput>, attrs: AttentionAttrs): tf.Tensor[] {
  const s = sizesOf(inputs);
  if (s.queries === 0) return [tf.zeros([s.batch, 0, s.heads, s.valueDim]), tf.zeros([s.batch, s.heads, 0])];
  const q = headsFirst(tf.mul(inputs.q!, attrs.scale));
  const k = headsFirst(inputs.k!);
  const v = headsFirst(inputs.v!);
  const parts = queryBlocks(s, inputs, attrs).map((block) =>
    tf.tidy((): [tf.Tensor, tf.Tensor] => {
      const { i0, i1, j0, j1 } = block;
      const n = i1 - i0;
      if (j1 === j0) return [tf.zeros([s.batch, s.heads, n, s.valueDim]), tf.zeros([s.batch, s.heads, n])];
      const bias = maskBias(block, inputs, attrs);
      const products = matMul(rowsOf(q, i0, i1, s.kvHeads), rowsOf(k, j0, j1, s.kvHeads), { transposeB: true });
      const plain = tf.reshape(products, [s.batch, s.heads, n, j1 - j0]);
      const scores = bias ? tf.add(plain, bias) : plain;
      const top = tf.max(scores, -1, true);
      const weights = tf.exp(tf.sub(scores, top));
      const total = tf.sum(weights, -1, true);
      const sums = matMul(tf.reshape(weights, [s.batch * s.kvHeads, s.group * n, j1 - j0]) as tf.Tensor3D, rowsOf(v, j0, j1, s.kvHeads));
      // In a row without a visible key all weights are exp(0): such a row gives zeros.
      const some = bias ? tf.cast(tf.greater(top, HIDDEN / 2), 'float32') : tf.onesLike(top);
      const y = tf.mul(tf.reshape(sums, [s.batch, s.heads, n, s.valueDim]), tf.div(some, total));
      const lse = tf.mul(tf.add(top, tf.log(total)), some);
      return [y, tf.reshape(lse, [s.batch, s.heads, n])];
    }),
  );
  const join = (ts: tf.Tensor[]) => (ts.length === 1 ? ts[0]! : tf.concat(ts, 2));
  return [headsFirst(join(parts.map((p) => p[0]))), tf.clone(join(parts.map((p) => p[1])))];
}
