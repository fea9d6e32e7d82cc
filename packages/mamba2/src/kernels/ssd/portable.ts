import { matMul, outOfChunks } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import type { SsdAttrs, SsdInput } from './attrs.js';
import { byHead, fromGroups, fromHeads, makeChunks, scale, type Chunks } from './chunks.js';

/** What the states entering the chunks give to every position: (bc, Q, H, P). */
export function fromEntryStates(c: Chunks): tf.Tensor {
  const y = matMul(c.C as tf.Tensor3D, c.entry as tf.Tensor3D, { transposeB: true });
  return scale(fromGroups(y, c, [c.heads, c.headDim]), c.into);
}

/** `perHead` (bc*H, Q, Q), by default the decays, times a (bc*G, Q, Q) matrix shared by the heads of a group. */
export function overHeads(c: Chunks, perGroup: tf.Tensor, perHead = c.decay): tf.Tensor3D {
  if (c.headsPerGroup === 1) return tf.mul(perHead, perGroup);
  const grouped = tf.reshape(perHead, [c.bc * c.groups, c.headsPerGroup, c.size, c.size]);
  return tf.reshape(tf.mul(grouped, tf.expandDims(perGroup, 1)), [c.bc * c.heads, c.size, c.size]);
}

/** D as a factor of (..., H, P). */
export const skipFactor = (D: tf.Tensor): tf.Tensor => (D.rank === 1 ? tf.expandDims(D, 1) : D);

/** The chunked algorithm (arXiv 2405.21060, section 6) out of matrix products; all chunks at once. */
export function ssdPortable(inputs: { [K in SsdInput]?: tf.Tensor }, attrs: SsdAttrs): tf.Tensor[] {
  const c = makeChunks(inputs, attrs);
  const within = fromHeads(matMul(overHeads(c, c.gram), byHead(c.u, c)), c);
  // With one chunk and no initial state nothing enters.
  let y = c.chunks === 1 && !inputs.initialState ? within : tf.add(within, fromEntryStates(c));
  if (inputs.D) y = tf.add(y, tf.mul(c.x, skipFactor(inputs.D)));
  const out = tf.reshape(outOfChunks(y, c), inputs.x!.shape);
  return attrs.returnFinalState ? [out, tf.reshape(c.finalState, [c.batch, c.heads, c.headDim, c.state])] : [out];
}
