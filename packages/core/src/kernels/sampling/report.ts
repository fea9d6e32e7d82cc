import * as tf from '@tensorflow/tfjs-core';
import { runKernel } from '../../webgpu/kernel.js';
import { reduction } from '../../webgpu/snippets.js';
import { u32 } from '../../webgpu/uniforms.js';

const THREADS = 64;
/** Bits of an id in a report; above them one for each stage. */
const ID_BITS = 24;

/** What the host gets to know of a row's step, in four bytes. */
export interface Report {
  /** The sampled id; −1 where a logit is not finite. */
  id: number;
  /** By stage, outermost first: 1 fired, 0 did not, −1 the stage did not run. */
  fired: number[];
}

/**
 * Packs what a step tells the host: (B) int32, on webgpu.
 * @param logits (B, V). @param ids (B) sampled. @param boundaries (B) of each stage.
 */
export function packReport(logits: tf.Tensor2D, ids: tf.Tensor1D, boundaries: readonly tf.Tensor1D[]): tf.Tensor1D {
  const [batch, classes] = logits.shape;
  const [word] = runKernel(tf.backend(), {
    key: `report of ${boundaries.length} stages`,
    // As integers: what compilers make of comparisons with NaN is their own business.
    reads: [{ name: 'logits', type: 'u32', tensor: logits }, { name: 'ids', type: 'i32', tensor: ids }, ...boundaries.map((tensor, s) => ({ name: `stage${s}`, type: 'i32' as const, tensor }))],
    writes: [{ name: 'words', type: 'i32', out: { shape: [batch], dtype: 'int32' } }],
    uniforms: { batch: u32(batch), classes: u32(classes) },
    groups: batch,
    threads: THREADS,
    functions: () => reduction('most', THREADS, { type: 'u32', join: 'max(x, y)' }),
    body: () => `  let row = min(group, u.batch - 1u);
  var wrong = 0u;
  for (var i = t; i < u.classes; i += ${THREADS}u) { wrong = max(wrong, u32((logits[row * u.classes + i] & 0x7f800000u) == 0x7f800000u)); }
  let anyWrong = most(wrong, t);
  if (t == 0u && group < u.batch) { words[row] = select(ids[row]${boundaries.map((_, s) => ` | (stage${s}[row] << ${ID_BITS + s}u)`).join('')}, -1, anyWrong != 0u); }`,
  });
  return tf.engine().makeTensorFromTensorInfo(word!) as tf.Tensor1D;
}

export function readReport(word: number, stages: number): Report {
  if (word < 0) return { id: -1, fired: [] };
  const fired: number[] = [];
  for (let s = 0; s < stages; s++) fired.push(s && fired[s - 1] !== 1 ? -1 : (word >> (ID_BITS + s)) & 1);
  return { id: word & (2 ** ID_BITS - 1), fired };
}
