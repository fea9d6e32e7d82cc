import { intoChunks, matMul, realMask, squareOf } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { ssdSizes, stepSizes, type SsdAttrs, type SsdInput, type SsdSizes } from './attrs.js';

/**
 * Everything forward and backward share. A chunk is a row of the leading axis `bc` = batch * chunks; heads of one group share B and C and sit
 * side by side, so that a product over a group is one matrix product of (positions x heads*P).
 */
export interface Chunks extends SsdSizes {
  chunks: number;
  /** Positions a chunk. */
  size: number;
  /** B*chunks. */
  bc: number;
  headsPerGroup: number;
  /** 1 at real positions, unpadded (B, L, 1). */
  mask: tf.Tensor | undefined;
  /** (bc, Q, H) step sizes. */
  delta: tf.Tensor;
  /** (bc, Q, H, P). */
  x: tf.Tensor;
  /** delta * x, (bc, Q, H, P). */
  u: tf.Tensor;
  /** (bc*G, Q, N). */
  B: tf.Tensor;
  C: tf.Tensor;
  /** (bc*H, Q, Q): exp(s_t - s_j) for j <= t in one document, else 0. */
  decay: tf.Tensor;
  /** (bc, Q, H): decay from the chunk's entry to t; from t to the chunk's end. */
  into: tf.Tensor;
  out: tf.Tensor;
  /** (B, chunks, H, 1): decay across a chunk. */
  carry: tf.Tensor;
  /** (bc*G, Q, Q): C_t . B_j. */
  gram: tf.Tensor;
  /** (bc*G, heads*P, N): states entering each chunk. */
  entry: tf.Tensor;
  /** (B, H, P*N) after the last chunk. */
  finalState: tf.Tensor;
}

/** exp of this is 0 in float32, and no hardware takes it for something special, as it may -Infinity. */
const NEVER = -200;

/** Inclusive prefix sums along the last axis: (rows, Q) -> (rows, Q). tf.cumsum is not sound on every backend. */
export const prefixSum = (v: tf.Tensor, size: number): tf.Tensor => matMul(tf.reshape(v, [-1, size]), squareOf(size, (i, j) => (i <= j ? 1 : 0)));
/** Sum over later-or-equal entries. */
export const suffixSum = (v: tf.Tensor, size: number): tf.Tensor => matMul(tf.reshape(v, [-1, size]), squareOf(size, (i, j) => (i >= j ? 1 : 0)));
/** Sum over strictly earlier entries. */
export const earlierSum = (v: tf.Tensor, size: number): tf.Tensor => matMul(tf.reshape(v, [-1, size]), squareOf(size, (i, j) => (i < j ? 1 : 0)));

/** [t, j] = 1 where j <= t. */
export const lowerTriangle = (size: number): tf.Tensor2D => squareOf(size, (t, j) => (j <= t ? 1 : 0));

/** (bc, Q, G*width) -> (bc*G, Q, width); no copy with one group. */
export function byGroup(t: tf.Tensor, c: Pick<Chunks, 'bc' | 'size' | 'groups'>): tf.Tensor3D {
  const width = t.size / (c.bc * c.size * c.groups);
  if (c.groups === 1) return tf.reshape(t, [c.bc, c.size, width]);
  const split = tf.transpose(tf.reshape(t, [c.bc, c.size, c.groups, width]), [0, 2, 1, 3]);
  return tf.reshape(split, [c.bc * c.groups, c.size, width]);
}

/** The inverse of `byGroup`, to any shape that starts with (bc, Q). */
export function fromGroups(t: tf.Tensor, c: Pick<Chunks, 'bc' | 'size' | 'groups'>, rest: number[]): tf.Tensor {
  if (c.groups === 1) return tf.reshape(t, [c.bc, c.size, ...rest]);
  const split = tf.reshape(t, [c.bc, c.groups, c.size, t.shape[2]!]);
  return tf.reshape(tf.transpose(split, [0, 2, 1, 3]), [c.bc, c.size, ...rest]);
}

/** (bc, Q, H, P) -> (bc*H, Q, P). */
export function byHead(t: tf.Tensor, c: Pick<Chunks, 'bc' | 'size' | 'heads' | 'headDim'>): tf.Tensor3D {
  return tf.reshape(tf.transpose(t, [0, 2, 1, 3]), [c.bc * c.heads, c.size, c.headDim]);
}

/** The inverse of `byHead`. */
export function fromHeads(t: tf.Tensor, c: Pick<Chunks, 'bc' | 'size' | 'heads' | 'headDim'>): tf.Tensor {
  return tf.transpose(tf.reshape(t, [c.bc, c.heads, c.size, c.headDim]), [0, 2, 1, 3]);
}

/** `v` (bc, Q, H) times `t` (bc, Q, H, P). */
export const scale = (t: tf.Tensor, v: tf.Tensor): tf.Tensor => tf.mul(t, tf.expandDims(v, -1));

/** Per-chunk (B, chunks, H, P*N) as a list over chunks, each (B, 1, H, P*N). */
export const chunkList = (t: tf.Tensor, c: Chunks): tf.Tensor[] => {
  const states = tf.reshape(t, [c.batch, c.chunks, c.heads, c.headDim * c.state]);
  return c.chunks === 1 ? [states] : tf.split(states, c.chunks, 1);
};

/** Runs stages 1 to 4 of the chunked algorithm: step sizes and decays, C.B, chunk states, the carry over chunks. */
export function makeChunks(inputs: { [K in SsdInput]?: tf.Tensor }, attrs: SsdAttrs): Chunks {
  const sizes = ssdSizes(inputs.x!, inputs.B!);
  const { batch, length, heads, groups } = sizes;
  const chunks = Math.ceil(length / attrs.chunkSize);
  // Equal chunks: 65 positions are 33 + 32, not 64 + 1 padded to 128.
  const size = Math.ceil(length / chunks);
  const bc = batch * chunks;
  const c = { ...sizes, chunks, size, bc, headsPerGroup: heads / groups };

  const mask = realMask(inputs.lengths, length);
  // Padding with zeros changes nothing, since delta is 0 there.
  const delta = intoChunks(stepSizes(inputs.dt!, inputs.dtBias, mask, attrs), c);
  const x = intoChunks(inputs.x!, c);
  const u = scale(x, delta);
  const B = byGroup(intoChunks(inputs.B!, c), c);
  const C = byGroup(intoChunks(inputs.C!, c), c);

  const log = tf.transpose(tf.mul(delta, inputs.A!), [0, 2, 1]);
  const s = tf.reshape(prefixSum(log, size), [bc, heads, size]);
  const total = tf.slice(s, [0, 0, size - 1], [bc, heads, 1]);
  const documents = inputs.documentIds && documentMasks(inputs.documentIds, c);
  // Masked before exp: above the diagonal the exponents are positive and would overflow.
  const bound = documents?.bound ?? squareOf(size, (t, j) => (j <= t ? 0 : NEVER));
  const difference = tf.sub(tf.expandDims(s, 3), tf.expandDims(s, 2));
  const decay = tf.reshape(tf.exp(tf.minimum(difference, bound)), [bc * heads, size, size]);
  const toPositions = (v: tf.Tensor) => tf.transpose(v, [0, 2, 1]);
  let into = toPositions(tf.exp(s));
  let out = toPositions(tf.exp(tf.sub(total, s)));
  let carry = tf.reshape(tf.exp(total), [batch, chunks, heads, 1]);
  if (documents) {
    into = tf.mul(into, documents.into);
    out = tf.mul(out, documents.out);
    carry = tf.mul(carry, documents.carry);
  }

  const gram = matMul(C, B, { transposeB: true });
  const own = matMul(byGroup(scale(u, out), c), B, { transposeA: true });
  const carried = { ...c, mask, delta, x, u, B, C, decay, into, out, carry, gram };
  return { ...carried, ...carryStates(own, carried as unknown as Chunks, inputs.initialState) };
}

/** S_{c+1} = carry_c S_c + own_c. */
function carryStates(own: tf.Tensor, c: Chunks, initialState?: tf.Tensor): { entry: tf.Tensor; finalState: tf.Tensor } {
  const width = c.headDim * c.state;
  const carries = c.chunks === 1 ? [c.carry] : tf.split(c.carry, c.chunks, 1);
  let s: tf.Tensor = initialState ? tf.reshape(initialState, [c.batch, 1, c.heads, width]) : tf.zeros([c.batch, 1, c.heads, width]);
  const entries: tf.Tensor[] = [];
  chunkList(own, c).forEach((t, i) => {
    entries.push(s);
    s = i === 0 && !initialState ? t : tf.add(tf.mul(s, carries[i]!), t);
  });
  const entry = tf.reshape(tf.concat(entries, 1), [c.bc * c.groups, c.headsPerGroup * c.headDim, c.state]);
  return { entry, finalState: s };
}

/** Where packed documents cut: 0/1 factors of the decays, and the bound on the exponents within a chunk. */
function documentMasks(documentIds: tf.Tensor, c: Pick<Chunks, 'batch' | 'length' | 'chunks' | 'size' | 'bc'>) {
  const { batch, length, chunks, size, bc } = c;
  const extra = chunks * size - length;
  // Padding repeats the last id: it must not look like a new document.
  const last = extra ? tf.tile(tf.slice(documentIds, [0, length - 1], [batch, 1]), [1, extra]) : undefined;
  const ids = tf.reshape(last ? tf.concat([documentIds, last], 1) : documentIds, [batch, chunks, size]);
  const ends = tf.slice(ids, [0, 0, size - 1], [batch, chunks, 1]);
  // The initial state belongs to document 0, so that a row which starts with another id ignores it.
  const zero = tf.zeros([batch, 1, 1], 'int32');
  const before = chunks === 1 ? zero : tf.concat([zero, tf.slice(ends, [0, 0, 0], [batch, chunks - 1, 1])], 1);
  const same = (a: tf.Tensor, b: tf.Tensor) => tf.cast(tf.equal(a, b), 'float32');
  const flat = tf.reshape(ids, [bc, size]);
  const together = tf.mul(same(tf.expandDims(flat, 2), tf.expandDims(flat, 1)), lowerTriangle(size));
  return {
    bound: tf.expandDims(tf.mul(tf.sub(1, together), NEVER), 1),
    into: tf.reshape(same(ids, before), [bc, size, 1]),
    out: tf.reshape(same(ids, ends), [bc, size, 1]),
    carry: tf.reshape(same(ends, before), [batch, chunks, 1, 1]),
  };
}
