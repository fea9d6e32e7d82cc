import { matMul } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import type { CellAttrs, CellInput } from './attrs.js';
import { fromHeads, makeChunks, type Chunks } from './chunks.js';
import { cellNaive } from './naive.js';

/** (rows, Q, 1) each: q.n, the floor e^-m, and the denominator. */
export function denominator(c: Chunks, qn: tf.Tensor, eps: number) {
  const floor = tf.reshape(tf.exp(tf.neg(c.m)), [c.rows, c.size, 1]);
  return { floor, den: tf.add(tf.maximum(tf.abs(qn), floor), eps) };
}

/** The chunkwise form (arXiv 2503.14376) out of matrix products; all chunks at once. */
export function cellPortable(inputs: { [K in CellInput]?: tf.Tensor }, attrs: CellAttrs): tf.Tensor[] {
  if (attrs.recurrent) return cellNaive(inputs, attrs);
  const c = makeChunks(inputs, attrs);
  const { rows, size, valueDim: V } = c;
  let sums = matMul(c.scores, c.v);
  // With one chunk and no initial state nothing enters.
  if (c.chunks > 1 || inputs.C) sums = tf.add(sums, matMul(tf.mul(c.q, c.into), c.entry));
  const { den } = denominator(c, tf.slice(sums, [0, 0, V], [rows, size, 1]), attrs.eps);
  const h = fromHeads(tf.div(tf.slice(sums, [0, 0, 0], [rows, size, V]), den), c);
  if (!attrs.returnFinalState) return [h];
  const { batch, heads, keyDim: K } = c;
  const state = tf.reshape(c.finalState, [batch, heads, K, V + 1]);
  const n = tf.reshape(tf.slice(state, [0, 0, 0, V], [batch, heads, K, 1]), [batch, heads, K]);
  return [h, tf.slice(state, [0, 0, 0, 0], [batch, heads, K, V]), n, tf.reshape(c.finalM, [batch, heads])];
}
