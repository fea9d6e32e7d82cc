import * as tf from '@tensorflow/tfjs-core';
import { matMul, type OpInputs } from '@bytelm/core';
import { headsFirst, queryBlocks, rowsOf, sizesOf } from './blocks.js';
import { maskBias, type AttentionAttrs, type AttentionInput } from './mask.js';

/**
 * Backward pass that recomputes the weights of each block from the log-sum-exp:
 * p = exp(s − lse), dv = pᵀ dy, ds = p (dy vᵀ − delta), dq = scale ds k, dk = scale dsᵀ q, with delta_i = dy_i·y_i − dlse_i.
 * A row without keys needs no care: its lse is 0 and its scores are about −1e30, so its weights are 0.
 */
export function attentionGradPortable(inputs: OpInputs<AttentionInput | 'dy' | 'lse' | 'delta'>, attrs: AttentionAttrs): tf.Tensor[] {
  const s = sizesOf(inputs);
  const q = headsFirst(tf.mul(inputs.q!, attrs.scale));
  const k = headsFirst(inputs.k!);
  const v = headsFirst(inputs.v!);
  const dy = headsFirst(inputs.dy!);
  const lse = tf.reshape(inputs.lse!, [s.batch, s.heads, s.queries, 1]) as tf.Tensor4D;
  const delta = tf.reshape(inputs.delta!, [s.batch, s.heads, s.queries, 1]) as tf.Tensor4D;
  const B = s.batch * s.kvHeads;
  const dqs: tf.Tensor[] = [];
  let dk: tf.Tensor = tf.zeros([B, s.keys, s.dim]);
  let dv: tf.Tensor = tf.zeros([B, s.keys, s.valueDim]);
  for (const block of queryBlocks(s, inputs, attrs)) {
    const { i0, i1, j0, j1 } = block;
    const n = i1 - i0;
    if (j1 === j0) {
      dqs.push(tf.zeros([s.batch, s.heads, n, s.dim]));
      continue;
    }
    const [dq, dkNext, dvNext] = tf.tidy(() => {
      const bias = maskBias(block, inputs, attrs);
      const qRows = rowsOf(q, i0, i1, s.kvHeads);
      const kRows = rowsOf(k, j0, j1, s.kvHeads);
      const dyRows = rowsOf(dy, i0, i1, s.kvHeads);
      const grid = [s.batch, s.heads, n, j1 - j0];
      const flat = (x: tf.Tensor) => tf.reshape(x, [B, s.group * n, j1 - j0]) as tf.Tensor3D;
      const column = (x: tf.Tensor4D) => tf.slice(x, [0, 0, i0, 0], [s.batch, s.heads, n, 1]);
      const plain = tf.reshape(matMul(qRows, kRows, { transposeB: true }), grid);
      const p = tf.exp(tf.sub(bias ? tf.add(plain, bias) : plain, column(lse)));
      const dp = tf.reshape(matMul(dyRows, rowsOf(v, j0, j1, s.kvHeads), { transposeB: true }), grid);
      const ds = flat(tf.mul(p, tf.sub(dp, column(delta))));
      const grow = (x: tf.Tensor) => (j0 === 0 && j1 === s.keys ? x : tf.pad(x, [[0, 0], [j0, s.keys - j1], [0, 0]]));
      return [
        tf.reshape(tf.mul(matMul(ds, kRows), attrs.scale), [s.batch, s.heads, n, s.dim]),
        tf.add(dk, grow(matMul(ds, qRows, { transposeA: true }))),
        tf.add(dv, grow(matMul(flat(p), dyRows, { transposeA: true }))),
      ] as const;
    });
    tf.dispose([dk, dv]);
    [dk, dv] = [dkNext, dvNext];
    dqs.push(dq);
  }
  const dq = dqs.length === 1 ? dqs[0]! : dqs.length ? tf.concat(dqs, 2) : tf.zeros([s.batch, s.heads, 0, s.dim]);
  return [
    headsFirst(dq),
    headsFirst(tf.reshape(dk, [s.batch, s.kvHeads, s.keys, s.dim])),
    headsFirst(tf.reshape(dv, [s.batch, s.kvHeads, s.keys, s.valueDim])),
  ];
}
