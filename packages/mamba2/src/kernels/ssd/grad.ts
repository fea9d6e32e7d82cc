import { matMul } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { ssdGradOutputs, stepSizeSlope, type SsdAttrs, type SsdGradInput, type SsdInput } from './attrs.js';
import {
  byGroup,
  byHead,
  chunkList,
  earlierSum,
  fromGroups,
  fromHeads,
  intoChunks,
  lowerTriangle,
  makeChunks,
  outOfChunks,
  scale,
  suffixSum,
  type Chunks,
} from './chunks.js';
import { fromEntryStates, overHeads, skipFactor } from './portable.js';

/**
 * Backward pass of the chunked scan. Decays, C.B and chunk states are computed again from the inputs: about a third of the forward work,
 * against saving matrices of Q floats a position and head.
 */
export function ssdGradPortable(inputs: { [K in SsdGradInput]?: tf.Tensor }, attrs: SsdAttrs): tf.Tensor[] {
  const c = makeChunks(inputs, attrs);
  const dy = intoChunks(inputs.dy!, c);
  const dyGrouped = byGroup(scale(dy, c.into), c);
  const states = backwardStates(matMul(dyGrouped, c.C as tf.Tensor3D, { transposeA: true }), c, inputs.dState);

  // Within the chunks.
  const dyHeads = byHead(dy, c);
  const dGram = tf.mul(c.decay, matMul(dyHeads, byHead(c.u, c), { transposeB: true }));
  const duWithin = fromHeads(matMul(overHeads(c, c.gram), dyHeads, { transposeA: true }), c);
  const dGramShared = sumHeads(dGram, c);
  // Through the states.
  const duStates = scale(fromGroups(matMul(c.B as tf.Tensor3D, states.exit, { transposeB: true }), c, [c.heads, c.headDim]), c.out);
  const du = tf.add(duWithin, duStates);
  const dC = tf.add(matMul(dGramShared, c.B as tf.Tensor3D), matMul(dyGrouped, c.entry as tf.Tensor3D));
  const dB = tf.add(
    matMul(dGramShared, c.C as tf.Tensor3D, { transposeA: true }),
    matMul(byGroup(scale(c.u, c.out), c), states.exit),
  );

  const da = logDecayGradient(c, tf.mul(dGram, sharedByHeads(c.gram, c)), dy, duStates, states.exit);
  const dDelta = outOfChunks(tf.add(tf.sum(tf.mul(c.x, du), 3), tf.mul(da, inputs.A!)), c);
  const slope = stepSizeSlope(inputs.dt!, inputs.dtBias, c.mask, attrs);
  const dt = slope ? tf.mul(dDelta, slope) : dDelta;
  let dx = scale(du, c.delta);
  if (inputs.D) dx = tf.add(dx, tf.mul(dy, skipFactor(inputs.D)));

  const grads: { [K in SsdInput]?: () => tf.Tensor } = {
    x: () => outOfChunks(dx, c),
    dt: () => dt,
    A: () => tf.sum(tf.mul(c.delta, da), [0, 1]),
    B: () => outOfChunks(fromGroups(dB, c, [c.groups, c.state]), c),
    C: () => outOfChunks(fromGroups(dC, c, [c.groups, c.state]), c),
    D: () => tf.sum(tf.mul(dy, c.x), inputs.D!.rank === 1 ? [0, 1, 3] : [0, 1]),
    dtBias: () => tf.sum(dt, [0, 1]),
    initialState: () => tf.reshape(states.initial, inputs.initialState!.shape),
  };
  return ssdGradOutputs((n) => inputs[n] !== undefined).map((n) => grads[n]!());
}

/** dS_c = carry_c dS_{c+1} + own_c, from the last chunk to the first: the gradients of the states that leave each chunk. */
function backwardStates(own: tf.Tensor, c: Chunks, dState?: tf.Tensor): { exit: tf.Tensor3D; initial: tf.Tensor } {
  const width = c.headDim * c.state;
  const carries = c.chunks === 1 ? [c.carry] : tf.split(c.carry, c.chunks, 1);
  const list = chunkList(own, c);
  let d: tf.Tensor = dState ? tf.reshape(dState, [c.batch, 1, c.heads, width]) : tf.zeros([c.batch, 1, c.heads, width]);
  const exits: tf.Tensor[] = [];
  for (let i = c.chunks - 1; i >= 0; i--) {
    exits.unshift(d);
    d = tf.add(tf.mul(d, carries[i]!), list[i]!);
  }
  return { exit: tf.reshape(tf.concat(exits, 1), [c.bc * c.groups, c.headsPerGroup * c.headDim, c.state]), initial: d };
}

/** (bc*H, Q, Q) summed over the heads of a group: (bc*G, Q, Q). */
function sumHeads(t: tf.Tensor, c: Chunks): tf.Tensor3D {
  if (c.headsPerGroup === 1) return t as tf.Tensor3D;
  return tf.sum(tf.reshape(t, [c.bc * c.groups, c.headsPerGroup, c.size, c.size]), 1);
}

/** (bc*G, Q, Q) repeated for the heads of a group. */
function sharedByHeads(t: tf.Tensor, c: Chunks): tf.Tensor {
  if (c.headsPerGroup === 1) return t;
  return tf.reshape(tf.tile(tf.expandDims(t, 1), [1, c.headsPerGroup, 1, 1]), [c.bc * c.heads, c.size, c.size]);
}

/**
 * Gradient of a_i = delta_i A, (bc, Q, H): everything that decays across position i. Sums of products only; the shorter form
 * dy.y - u.du cancels in float32.
 * @param weights (bc*H, Q, Q): the gradient of each pair's log decay.
 */
function logDecayGradient(c: Chunks, weights: tf.Tensor, dy: tf.Tensor, duStates: tf.Tensor, exit: tf.Tensor): tf.Tensor {
  const { bc, size, heads } = c;
  // Pairs j < i <= t: sums over j to the left of i, then over t from i on.
  const left = tf.reshape(earlierSum(weights, size), [bc * heads, size, size]);
  const pairs = tf.reshape(tf.sum(tf.mul(left, lowerTriangle(size)), 1), [bc, heads, size]);
  const toHeads = (v: tf.Tensor) => tf.transpose(v, [0, 2, 1]);
  const entered = suffixSum(toHeads(tf.sum(tf.mul(dy, fromEntryStates(c)), 3)), size);
  const left_ = earlierSum(toHeads(tf.sum(tf.mul(c.u, duStates), 3)), size);
  const across = tf.mul(
    tf.reshape(c.carry, [bc, heads, 1]),
    tf.sum(tf.reshape(tf.mul(exit, c.entry), [bc, heads, c.headDim * c.state]), 2, true),
  );
  const perHead = tf.add(tf.add(pairs, across), tf.reshape(tf.add(entered, left_), [bc, heads, size]));
  return tf.transpose(perHead, [0, 2, 1]);
}
