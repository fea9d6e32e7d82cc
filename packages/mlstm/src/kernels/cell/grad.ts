import { matMul, outOfChunks, scan, squareOf } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { cellGradOutputs, type CellAttrs, type CellGradInput, type CellInput } from './attrs.js';
import { byHead, chunkList, fromHeads, makeChunks, withColumn, type Chunks } from './chunks.js';
import { denominator } from './portable.js';

/**
 * Backward pass of the chunkwise form; weights, scores and chunk states are computed again from the inputs.
 *
 * h does not depend on the stabiliser but through eps: in true sums it is N / (max(|R|, 1) + eps e^m). So the gradients of log weights are
 * taken as if m were constant, and m adds -eps / den * (dh.h), which goes to the gates that made the maximum.
 */
export function cellGradPortable(inputs: { [K in CellGradInput]?: tf.Tensor }, attrs: CellAttrs): tf.Tensor[] {
  const c = makeChunks(inputs, attrs);
  const { rows, size, valueDim: V } = c;
  const isTrue = !attrs.publishedGradient;
  const dState = inputs.dC && tf.reshape(tf.concat([inputs.dC, tf.expandDims(inputs.dn!, 3)], 3), c.finalState.shape);

  const qn = tf.add(tf.sum(c.scores, 2, true), matMul(tf.mul(c.q, c.into), tf.slice(c.entry, [0, 0, V], [rows, c.keyDim, 1])));
  const { floor, den } = denominator(c, qn, attrs.eps);
  const dh = byHead(inputs.dh!, c);
  const pull = isTrue ? tf.div(tf.sum(tf.mul(dh, byHead(inputs.h!, c)), 2, true), den) : undefined;
  // |q.n| counts where it is above the floor.
  const above = (t: tf.Tensor) => tf.cast(tf.greater(t, floor), 'float32');
  const dqn = pull && tf.mul(pull, tf.sub(above(tf.neg(qn)), above(qn)));
  const dSums = withColumn(tf.div(dh, den), dqn ?? tf.zeros([rows, size, 1]));

  // Within the chunks.
  const dPairs = matMul(dSums, c.v, { transposeB: true });
  const dScores = tf.mul(dPairs, c.decay) as tf.Tensor3D;
  const weights = tf.mul(dPairs, c.scores) as tf.Tensor3D;
  // Through the states: qin, kout are q and k as the states meet them.
  const qin = tf.mul(c.q, c.into) as tf.Tensor3D;
  const exits = backwardStates(matMul(qin, dSums, { transposeA: true }), c, dState);
  const dqState = tf.mul(matMul(dSums, c.entry, { transposeB: true }), c.into);
  const dkState = tf.mul(matMul(c.v, exits.exit, { transposeB: true }), c.out);
  const dq = tf.add(matMul(dScores, c.k), dqState);
  const dk = tf.add(matMul(dScores, c.q, { transposeA: true }), dkState);
  const dv = tf.add(matMul(c.scores, dSums, { transposeA: true }), matMul(tf.mul(c.k, c.out) as tf.Tensor3D, exits.exit));

  const entered = tf.reshape(tf.sum(tf.mul(c.q, dqState), 2), [c.bc, c.heads, size]);
  const left = tf.reshape(tf.sum(tf.mul(c.k, dkState), 2), [c.bc, c.heads, size]);
  let dInput = tf.add(tf.reshape(tf.sum(weights, 1), [c.bc, c.heads, size]), left);
  let dForget = forgetGradient(c, weights, entered, left, tf.mul(exits.exit, c.entry));
  let dm: tf.Tensor | undefined;
  if (pull) {
    const direct = tf.reshape(tf.mul(pull, -attrs.eps), [c.bc, c.heads, size]);
    const own = stabiliserGradient(c, direct, inputs, dState);
    dInput = tf.add(dInput, own.input);
    dForget = tf.add(dForget, own.forget);
    // The initial state was scaled by e^-m.
    if (inputs.m) dm = tf.add(own.initial, tf.reshape(tf.sum(tf.mul(exits.initial, tf.reshape(tf.concat([inputs.C!, tf.expandDims(inputs.n!, 3)], 3), exits.initial.shape)), 3), inputs.m.shape));
  }
  const toPositions = (t: tf.Tensor) => outOfChunks(tf.transpose(t, [0, 2, 1]), c);
  const real = (t: tf.Tensor) => (c.mask ? tf.mul(t, c.mask) : t);

  const initial = tf.reshape(exits.initial, [c.batch, c.heads, c.keyDim, V + 1]);
  const grads: { [K in CellInput]?: () => tf.Tensor } = {
    q: () => tf.mul(fromHeads(dq, c), 1 / Math.sqrt(c.keyDim)),
    k: () => fromHeads(dk, c),
    v: () => fromHeads(tf.slice(dv, [0, 0, 0], [rows, size, V]), c),
    inputGate: () => real(toPositions(dInput)),
    forgetGate: () => real(tf.mul(toPositions(dForget), tf.sigmoid(tf.neg(inputs.forgetGate!)))),
    C: () => tf.slice(initial, [0, 0, 0, 0], [c.batch, c.heads, c.keyDim, V]),
    n: () => tf.reshape(tf.slice(initial, [0, 0, 0, V], [c.batch, c.heads, c.keyDim, 1]), [c.batch, c.heads, c.keyDim]),
    m: () => dm ?? tf.zerosLike(inputs.m!),
  };
  return cellGradOutputs((n) => inputs[n] !== undefined).map((n) => grads[n]!());
}

/** dS_c = carry_c dS_{c+1} + own_c, from the last chunk to the first: gradients of the [C, n] that leave each chunk. */
function backwardStates(own: tf.Tensor, c: Chunks, dState?: tf.Tensor): { exit: tf.Tensor3D; initial: tf.Tensor } {
  const carries = c.chunks === 1 ? [c.carry] : tf.split(c.carry, c.chunks, 1);
  const list = chunkList(own, c);
  let d: tf.Tensor = dState ?? tf.zerosLike(c.finalState);
  const exits: tf.Tensor[] = [];
  for (let i = c.chunks - 1; i >= 0; i--) {
    exits.unshift(d);
    d = tf.add(tf.mul(d, carries[i]!), list[i]!);
  }
  return { exit: tf.reshape(tf.concat(exits, 1), [c.rows, c.keyDim, c.valueDim + 1]), initial: d };
}

/**
 * (bc, H, Q): everything that is forgotten at position i. Sums of products only; the shorter form q.dq - k.dk cancels in float32.
 * @param weights (rows, Q, Q), entered and left (bc, H, Q): gradients of the log weights of pairs, of what enters and of what leaves.
 * @param across (rows, K, W): the product of both ends of what passes through.
 */
function forgetGradient(c: Chunks, weights: tf.Tensor, entered: tf.Tensor, left: tf.Tensor, across: tf.Tensor): tf.Tensor {
  const { bc, size, heads, rows } = c;
  const shaped = (v: tf.Tensor) => tf.reshape(v, [bc, heads, size]);
  const times = (v: tf.Tensor, matrix: tf.Tensor2D) => matMul(tf.reshape(v, [-1, size]), matrix);
  const earlier = squareOf(size, (i, j) => (i < j ? 1 : 0));
  const fromHere = squareOf(size, (i, j) => (i >= j ? 1 : 0));
  // Pairs s < i <= t: sums over s before i, then over t from i on.
  const before = tf.reshape(times(weights, earlier), [rows, size, size]);
  const within = shaped(tf.sum(tf.mul(before, fromHere), 1));
  const through = tf.mul(tf.reshape(c.carry, [bc, heads, 1]), tf.sum(tf.reshape(across, [bc, heads, -1]), 2, true));
  return tf.add(tf.add(within, through), tf.add(shaped(times(entered, fromHere)), shaped(times(left, earlier))));
}

/** m_t = max(lf_t + m_{t-1}, i_t): where its gradients (bc, H, Q) go, both (bc, H, Q), and to the initial m (B, H). */
function stabiliserGradient(c: Chunks, direct: tf.Tensor, inputs: { [K in CellGradInput]?: tf.Tensor }, dState: tf.Tensor | undefined) {
  const { batch, chunks, heads, size, bc } = c;
  const length = chunks * size;
  const long = (t: tf.Tensor) => tf.reshape(tf.transpose(t, [0, 2, 1]), [batch, length, heads]);
  const short = (t: tf.Tensor) => tf.transpose(tf.reshape(t, [bc, size, heads]), [0, 2, 1]);
  // Values moved on by one position; nothing is left of them when there is only one.
  const later = (first: tf.Tensor, t: tf.Tensor) => (length === 1 ? first : tf.concat([first, tf.slice(t, [0, 0, 0], [batch, length - 1, heads])], 1));
  let before = later(tf.reshape(inputs.m ?? tf.zeros([batch, heads]), [batch, 1, heads]), long(c.m));
  let keeps: tf.Tensor | undefined;
  if (c.continues) {
    keeps = tf.reshape(c.continues, [batch, length, 1]);
    before = tf.mul(before, keeps);
  }
  const isKept = tf.cast(tf.greaterEqual(tf.add(long(c.forget), before), long(c.input)), 'float32');
  const flows = keeps ? tf.mul(isKept, keeps) : isKept;
  // What step t passes on to t - 1, at t - 1.
  const none = tf.zeros([batch, 1, heads]);
  const passed = length === 1 ? none : tf.concat([tf.slice(flows, [0, 1, 0], [batch, length - 1, heads]), none], 1);
  // The final state is scaled by e^-m.
  const last = dState && tf.reshape(tf.sub(tf.reshape(inputs.dm!, [batch, 1, heads, 1]), tf.sum(tf.mul(dState, c.finalState), 3, true)), [batch, 1, heads]);
  const dm = long(direct);
  const total = last ? tf.add(dm, length > 1 ? tf.concat([tf.zeros([batch, length - 1, heads]), last], 1) : last) : dm;
  const { y, finalState } = scan(total, passed, { reverse: true });
  finalState.dispose();
  const initial = tf.reshape(tf.slice(tf.mul(y, flows), [0, 0, 0], [batch, 1, heads]), [batch, heads]);
  return { forget: short(tf.mul(y, isKept)), input: short(tf.mul(y, tf.sub(1, isKept))), initial };
}
