import { intoChunks, matMul, outOfChunks } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { ssdGradOutputs, stepSizeSlope, type SsdAttrs, type SsdGradInput, type SsdInput } from './attrs.js';
import {
  byGroup,
  byHead,
  chunkList,
  earlierSum,
  fromGroups,
  fromHeads,
  lowerTriangle,
  makeChunks,
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
  // A single chunk without states at its ends has no part that goes through states.
  const enters = c.chunks > 1 || inputs.initialState !== undefined;
  const leaves = c.chunks > 1 || inputs.dState !== undefined;
  const plus = (a: tf.Tensor, present: boolean, b: () => tf.Tensor) => (present ? tf.add(a, b()) : a);
  const dy = intoChunks(inputs.dy!, c);
  const dyGrouped = byGroup(scale(dy, c.into), c);
  const states = backwardStates(enters ? matMul(dyGrouped, c.C as tf.Tensor3D, { transposeA: true }) : undefined, c, inputs.dState);

  // Within the chunks.
  const dyHeads = byHead(dy, c);
  const dGram = tf.mul(c.decay, matMul(dyHeads, byHead(c.u, c), { transposeB: true }));
  const duWithin = fromHeads(matMul(overHeads(c, c.gram), dyHeads, { transposeA: true }), c);
  const dGramShared = sumHeads(dGram, c);
  // Through the states.
  const duStates = leaves
    ? scale(fromGroups(matMul(c.B as tf.Tensor3D, states.exit, { transposeB: true }), c, [c.heads, c.headDim]), c.out)
    : undefined;
  const du = plus(duWithin, leaves, () => duStates!);
  const dC = plus(matMul(dGramShared, c.B as tf.Tensor3D), enters, () => matMul(dyGrouped, c.entry as tf.Tensor3D));
  const dB = plus(matMul(dGramShared, c.C as tf.Tensor3D, { transposeA: true }), leaves, () =>
    matMul(byGroup(scale(c.u, c.out), c), states.exit),
  );

  const da = logDecayGradient(c, overHeads(c, c.gram, dGram), {
    entered: enters ? tf.sum(tf.mul(dy, fromEntryStates(c)), 3) : undefined,
    left: duStates && tf.sum(tf.mul(c.u, duStates), 3),
    across: enters && leaves ? tf.mul(states.exit, c.entry) : undefined,
  });
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

/** dS_c = carry_c dS_{c+1} + own_c (absent when nothing enters), from the last chunk to the first: the gradients of the states that leave each chunk. */
function backwardStates(own: tf.Tensor | undefined, c: Chunks, dState?: tf.Tensor): { exit: tf.Tensor3D; initial: tf.Tensor } {
  const width = c.headDim * c.state;
  const carries = c.chunks === 1 ? [c.carry] : tf.split(c.carry, c.chunks, 1);
  const list = own && chunkList(own, c);
  let d: tf.Tensor = dState ? tf.reshape(dState, [c.batch, 1, c.heads, width]) : tf.zeros([c.batch, 1, c.heads, width]);
  const exits: tf.Tensor[] = [];
  for (let i = c.chunks - 1; i >= 0; i--) {
    exits.unshift(d);
    d = list ? tf.add(tf.mul(d, carries[i]!), list[i]!) : d;
  }
  return { exit: tf.reshape(tf.concat(exits, 1), [c.bc * c.groups, c.headsPerGroup * c.headDim, c.state]), initial: d };
}

/** (bc*H, Q, Q) summed over the heads of a group: (bc*G, Q, Q). */
function sumHeads(t: tf.Tensor, c: Chunks): tf.Tensor3D {
  if (c.headsPerGroup === 1) return t as tf.Tensor3D;
  return tf.sum(tf.reshape(t, [c.bc * c.groups, c.headsPerGroup, c.size, c.size]), 1);
}

/** What each position's decay did to states: (bc, Q, H) as they enter and leave, and the product of their two ends. */
interface ThroughStates {
  entered: tf.Tensor | undefined;
  left: tf.Tensor | undefined;
  /** (bc*G, heads*P, N). */
  across: tf.Tensor | undefined;
}

/**
 * Gradient of a_i = delta_i A, (bc, Q, H): everything that decays across position i. Sums of products only; the shorter form
 * dy.y - u.du cancels in float32.
 * @param weights (bc*H, Q, Q): the gradient of each pair's log decay.
 */
function logDecayGradient(c: Chunks, weights: tf.Tensor, { entered, left, across }: ThroughStates): tf.Tensor {
  const { bc, size, heads } = c;
  const shaped = (v: tf.Tensor) => tf.reshape(v, [bc, heads, size]);
  const toHeads = (v: tf.Tensor) => tf.transpose(v, [0, 2, 1]);
  // Pairs j < i <= t: sums over j to the left of i, then over t from i on.
  const before = tf.reshape(earlierSum(weights, size), [bc * heads, size, size]);
  let sum = shaped(tf.sum(tf.mul(before, lowerTriangle(size)), 1));
  if (entered) sum = tf.add(sum, shaped(suffixSum(toHeads(entered), size)));
  if (left) sum = tf.add(sum, shaped(earlierSum(toHeads(left), size)));
  if (across) {
    const perHead = tf.sum(tf.reshape(across, [bc, heads, c.headDim * c.state]), 2, true);
    sum = tf.add(sum, tf.mul(tf.reshape(c.carry, [bc, heads, 1]), perHead));
  }
  return tf.transpose(sum, [0, 2, 1]);
}
