import { intoChunks, matMul, outOfChunks, realMask, squareOf } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { cellSizes, equalChunk, logGates, NEVER, type CellAttrs, type CellInput, type CellSizes } from './attrs.js';

/**
 * Everything forward and backward share. `bc` = batch * chunks, `rows` = bc * heads. v carries a column of ones, so that C and n are one
 * matrix [C, n] of W = V + 1 columns and numerator and q.n come out of the same products.
 *
 * Log weights: with b the sum of log forget gates within the chunk (or since the document began in it) and u = i - b, pair (t, s) weighs
 * exp(b_t + u_s) and the entering state exp(b_t + m_entry). Their maximum over s <= t is b_t + M_t, the stabiliser; scaled weights are
 * exp(u_s - M_t) and exp(m_entry - M_t). What leaves the chunk is weighed as its last position weighs it.
 */
export interface Chunks extends CellSizes {
  chunks: number;
  /** Positions a chunk. */
  size: number;
  bc: number;
  rows: number;
  /** (rows, Q, K); q is scaled by 1/sqrt(K). */
  q: tf.Tensor3D;
  k: tf.Tensor3D;
  /** (rows, Q, W): [v, 1]. */
  v: tf.Tensor3D;
  /** 1 at real positions, unpadded (B, L, 1). */
  mask: tf.Tensor | undefined;
  /** (rows, Q, Q): scaled weights of pairs, 0 for s > t and across documents. */
  decay: tf.Tensor3D;
  /** (rows, Q, 1): scaled weight of the entering state; of each position in the leaving one. */
  into: tf.Tensor;
  out: tf.Tensor;
  /** (B, chunks, H, 1): weight of the entering state in the leaving one. */
  carry: tf.Tensor;
  /** (bc, H, Q): the stabiliser. */
  m: tf.Tensor;
  /** (bc, H, Q) log forget gates, padded with 0, and log input gates, padded with NEVER. */
  forget: tf.Tensor;
  input: tf.Tensor;
  /** (bc, 1, Q): 1 unless a document starts here; `undefined` without documents. */
  continues: tf.Tensor | undefined;
  /** (rows, Q, Q): q.k times the weights. */
  scores: tf.Tensor3D;
  /** (rows, K, W): [C, n] entering each chunk. */
  entry: tf.Tensor3D;
  /** (B, 1, H, K*W) [C, n] and (B, 1, H, 1) m after the last chunk. */
  finalState: tf.Tensor;
  finalM: tf.Tensor;
}

type Layout = Pick<Chunks, 'batch' | 'chunks' | 'size' | 'length' | 'heads' | 'bc' | 'rows'>;

/** (B, L, H, X) -> (rows, Q, X). */
export function byHead(t: tf.Tensor, c: Layout): tf.Tensor3D {
  return tf.reshape(tf.transpose(intoChunks(t, c), [0, 2, 1, 3]), [c.rows, c.size, t.shape[3]!]);
}

/** The inverse of `byHead`. */
export function fromHeads(t: tf.Tensor, c: Layout): tf.Tensor {
  return outOfChunks(tf.transpose(tf.reshape(t, [c.bc, c.heads, c.size, t.shape[2]!]), [0, 2, 1, 3]), c);
}

/** (rows, Q, X) and a column of ones or of `last` (rows, Q, 1). */
export const withColumn = (t: tf.Tensor, last?: tf.Tensor): tf.Tensor3D =>
  tf.concat([t, last ?? tf.ones([t.shape[0]!, t.shape[1]!, 1])], 2) as tf.Tensor3D;

/** (rows, K, W) as a list over chunks, each (B, 1, H, K*W). */
export const chunkList = (t: tf.Tensor, c: Layout): tf.Tensor[] => {
  const states = tf.reshape(t, [c.batch, c.chunks, c.heads, -1]);
  return c.chunks === 1 ? [states] : tf.split(states, c.chunks, 1);
};

/** Gates, weights, scores and the states that enter each chunk. */
export function makeChunks(inputs: { [K in CellInput]?: tf.Tensor }, attrs: CellAttrs): Chunks {
  const sizes = cellSizes(inputs.q!, inputs.v!);
  const { batch, length, heads, keyDim } = sizes;
  const size = equalChunk(length, attrs.chunkSize);
  const chunks = Math.ceil(length / size);
  const bc = batch * chunks;
  const c = { ...sizes, chunks, size, bc, rows: bc * heads };

  const mask = realMask(inputs.lengths, length);
  const q = byHead(tf.mul(inputs.q!, 1 / Math.sqrt(keyDim)), c);
  const k = byHead(inputs.k!, c);
  const v = withColumn(byHead(inputs.v!, c));

  const gates = logGates(inputs.inputGate!, inputs.forgetGate!, mask);
  const input = tf.transpose(intoChunks(gates.input, c, NEVER), [0, 2, 1]);
  const forget = tf.transpose(intoChunks(gates.forget, c), [0, 2, 1]);
  const documents = inputs.documentIds && documentMasks(inputs.documentIds, c);
  const b = documents
    ? matMul(forget, documents.together as tf.Tensor3D, { transposeB: true })
    : tf.reshape(matMul(tf.reshape(forget, [c.rows, size]), squareOf(size, (i, j) => (i <= j ? 1 : 0))), [bc, heads, size]);
  const pairs = tf.add(tf.expandDims(tf.sub(input, b), 2), documents?.bound ?? squareOf(size, (t, s) => (s <= t ? 0 : NEVER)));
  const largest = tf.max(pairs, 3);
  const stabiliser = carryM(b, largest, c, inputs.m, documents?.fromEntry);
  const { M } = stabiliser;
  const decay = tf.reshape(tf.exp(tf.sub(pairs, tf.expandDims(M, 3))), [c.rows, size, size]);
  const e = tf.exp(tf.sub(stabiliser.entry, M));
  const into = tf.reshape(documents ? tf.mul(e, documents.fromEntry) : e, [c.rows, size, 1]);
  const out = tf.reshape(tf.slice(decay, [0, size - 1, 0], [c.rows, 1, size]), [c.rows, size, 1]);
  const carry = tf.reshape(tf.slice(into, [0, size - 1, 0], [c.rows, 1, 1]), [batch, chunks, heads, 1]);

  const scores = tf.mul(matMul(q, k, { transposeB: true }), decay) as tf.Tensor3D;
  const own = matMul(tf.mul(k, out), v, { transposeA: true });
  const carried = { ...c, q, k, v, mask, decay, into, out, carry, m: tf.add(b, M), forget, input, continues: documents?.continues, scores };
  return { ...carried, ...carryStates(own, carried, inputs), finalM: stabiliser.last } as Chunks;
}

/** The stabiliser across chunks: its offset M (bc, H, Q), and the m that counts for the entering state at each position. */
function carryM(b: tf.Tensor, largest: tf.Tensor, c: Layout, initial: tf.Tensor | undefined, fromEntry: tf.Tensor | undefined) {
  const { batch, chunks, heads, size, bc } = c;
  const ends = (t: tf.Tensor) => {
    const last = tf.reshape(tf.slice(t, [0, 0, size - 1], [bc, t.shape[1]!, 1]), [batch, chunks, t.shape[1]!, 1]);
    return chunks === 1 ? [last] : tf.split(last, chunks, 1);
  };
  const [bEnds, ownEnds, keeps] = [ends(b), ends(largest), fromEntry && ends(fromEntry)];
  let m: tf.Tensor = initial ? tf.reshape(initial, [batch, 1, heads, 1]) : tf.zeros([batch, 1, heads, 1]);
  const entries: tf.Tensor[] = [];
  for (let i = 0; i < chunks; i++) {
    entries.push(m);
    // A document that begins in the chunk begins with m = 0.
    const before = keeps ? tf.mul(m, keeps[i]!) : m;
    m = tf.add(bEnds[i]!, tf.maximum(before, ownEnds[i]!));
  }
  const entryM = tf.reshape(tf.concat(entries, 1), [bc, heads, 1]);
  const entry = fromEntry ? tf.mul(entryM, fromEntry) : tf.tile(entryM, [1, 1, size]);
  return { M: tf.maximum(entry, largest), entry, last: m };
}

/** [C, n]_{c+1} = carry_c [C, n]_c + own_c. */
function carryStates(own: tf.Tensor, c: Layout & Pick<Chunks, 'carry' | 'keyDim' | 'valueDim'>, { C, n }: { C?: tf.Tensor; n?: tf.Tensor }) {
  const carries = c.chunks === 1 ? [c.carry] : tf.split(c.carry, c.chunks, 1);
  const shape = [c.batch, 1, c.heads, c.keyDim * (c.valueDim + 1)];
  let s: tf.Tensor = C && n ? tf.reshape(tf.concat([C, tf.expandDims(n, 3)], 3), shape) : tf.zeros(shape);
  const entries: tf.Tensor[] = [];
  chunkList(own, c).forEach((t, i) => {
    entries.push(s);
    s = tf.add(tf.mul(s, carries[i]!), t);
  });
  return { entry: tf.reshape(tf.concat(entries, 1), [c.rows, c.keyDim, c.valueDim + 1]) as tf.Tensor3D, finalState: s };
}

/** Where packed documents cut. The initial state belongs to document 0: a row that starts with another id ignores it. */
function documentMasks(documentIds: tf.Tensor, c: Pick<Chunks, 'batch' | 'length' | 'chunks' | 'size' | 'bc'>) {
  const { batch, length, chunks, size, bc } = c;
  const extra = chunks * size - length;
  // Padding repeats the last id: it must not look like a new document.
  const last = extra ? tf.tile(tf.slice(documentIds, [0, length - 1], [batch, 1]), [1, extra]) : undefined;
  const all = last ? tf.concat([documentIds, last], 1) : documentIds;
  const ids = tf.reshape(all, [batch, chunks, size]);
  const zero = tf.zeros([batch, 1], 'int32');
  const ends = tf.reshape(tf.slice(ids, [0, 0, size - 1], [batch, chunks, 1]), [batch, chunks]);
  const before = chunks === 1 ? zero : tf.concat([zero, tf.slice(ends, [0, 0], [batch, chunks - 1])], 1);
  const previous = chunks * size === 1 ? zero : tf.concat([zero, tf.slice(all, [0, 0], [batch, chunks * size - 1])], 1);
  const same = (a: tf.Tensor, b: tf.Tensor) => tf.cast(tf.equal(a, b), 'float32');
  const flat = tf.reshape(ids, [bc, size]);
  const together = tf.mul(same(tf.expandDims(flat, 2), tf.expandDims(flat, 1)), squareOf(size, (t, s) => (s <= t ? 1 : 0)));
  return {
    /** (bc, Q, Q): 1 for s <= t of one document. */
    together,
    bound: tf.expandDims(tf.mul(tf.sub(1, together), NEVER), 1),
    /** (bc, 1, Q): 1 where the document was there before the chunk. */
    fromEntry: tf.reshape(same(ids, tf.expandDims(before, 2)), [bc, 1, size]),
    continues: tf.reshape(same(all, previous), [bc, 1, size]),
  };
}
