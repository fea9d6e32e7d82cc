import type { FastKernel } from '../../op/define-op.js';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { runKernel } from '../../webgpu/kernel.js';
import { reduction } from '../../webgpu/snippets.js';
import { f32, u32 } from '../../webgpu/uniforms.js';
import type { SampleAttrs } from './portable.js';

const THREADS = 256;
/** Classes that a workgroup sorts in its memory: keys and ids take 8 KiB. */
export const MOST_SORTED = 1024;

/** The largest logit of each row, the lowest id among equals. */
function greedy(backend: KernelBackend, logits: TensorInfo, [batch, classes]: readonly [number, number]): TensorInfo[] {
  return runKernel(backend, {
    key: 'greedy',
    reads: [{ name: 'logits', type: 'f32', tensor: logits }],
    writes: [{ name: 'y', type: 'i32', out: { shape: [batch], dtype: 'int32' } }],
    uniforms: { batch: u32(batch), classes: u32(classes) },
    groups: batch,
    threads: THREADS,
    // Value and id side by side: ids are exact as floats up to 2^24.
    functions: () => reduction('best', THREADS, { type: 'vec2f', join: 'select(y, x, x.x > y.x || (x.x == y.x && x.y < y.y))' }),
    body: () => `  let start = min(group, u.batch - 1u) * u.classes;
  var own = vec2f(-3e38, f32(u.classes));
  for (var i = t; i < u.classes; i += ${THREADS}u) { let v = logits[start + i]; if (v > own.x) { own = vec2f(v, f32(i)); } }
  let top = best(own, t);
  if (t == 0u && group < u.batch) { y[group] = min(i32(top.y), i32(u.classes) - 1); }`,
  });
}

/** A workgroup for each row: sorts (bitonic), adds up from the top, and counts what lies before the draw. */
export const webGpuSample: FastKernel<'logits' | 'draws', SampleAttrs> = ({ inputs: { logits, draws }, attrs: { temperature, topK, topP }, backend }) => {
  const [batch, classes] = logits!.shape as [number, number];
  if (batch * classes === 0 || classes >= 2 ** 24) return null;
  if (temperature === 0) return greedy(backend, logits!, [batch, classes]);
  if (classes > MOST_SORTED) return null;
  const size = Math.max(THREADS, 2 ** Math.ceil(Math.log2(classes)));
  const each = size / THREADS;
  return runKernel(backend, {
    key: `sample of ${size}`,
    reads: [{ name: 'logits', type: 'f32', tensor: logits! }, { name: 'draws', type: 'f32', tensor: draws! }],
    writes: [{ name: 'y', type: 'i32', out: { shape: [batch], dtype: 'int32' } }],
    uniforms: { batch: u32(batch), classes: u32(classes), kept: u32(Math.min(classes, topK || classes)), topP: f32(topP), inverse: f32(1 / temperature) },
    groups: batch,
    threads: THREADS,
    functions: () => `var<workgroup> keys: array<f32, ${size}>;
var<workgroup> ids: array<u32, ${size}>;
var<workgroup> sums: array<f32, ${THREADS}>;
var<workgroup> keptCount: atomic<u32>;
var<workgroup> passedCount: atomic<u32>;
/** Sums of keys up to each, in place; a thread has ${each} beside each other. */
fn addUp(t: u32) {
  let first = t * ${each}u;
  for (var j = 1u; j < ${each}u; j++) { keys[first + j] += keys[first + j - 1u]; }
  sums[t] = keys[first + ${each - 1}u];
  for (var by = 1u; by < ${THREADS}u; by *= 2u) {
    workgroupBarrier();
    var other = 0.0;
    if (t >= by) { other = sums[t - by]; }
    workgroupBarrier();
    sums[t] += other;
  }
  workgroupBarrier();
  if (t > 0u) { let before = sums[t - 1u]; for (var j = 0u; j < ${each}u; j++) { keys[first + j] += before; } }
  workgroupBarrier();
}`,
    body: () => `  let row = min(group, u.batch - 1u);
  for (var i = t; i < ${size}u; i += ${THREADS}u) {
    keys[i] = select(-3e38, logits[row * u.classes + min(i, u.classes - 1u)], i < u.classes);
    ids[i] = i;
  }
  for (var span = 2u; span <= ${size}u; span *= 2u) {
    for (var by = span / 2u; by > 0u; by /= 2u) {
      workgroupBarrier();
      for (var i = t; i < ${size}u; i += ${THREADS}u) {
        let other = i ^ by;
        if (other > i) {
          let isBefore = keys[i] > keys[other] || (keys[i] == keys[other] && ids[i] < ids[other]);
          if (isBefore != ((i & span) == 0u)) {
            let key = keys[i]; keys[i] = keys[other]; keys[other] = key;
            let id = ids[i]; ids[i] = ids[other]; ids[other] = id;
          }
        }
      }
    }
  }
  workgroupBarrier();
  let top = keys[0];
  workgroupBarrier();
  for (var i = t; i < ${size}u; i += ${THREADS}u) { keys[i] = select(0.0, exp(max((keys[i] - top) * u.inverse, -80.0)), i < u.kept); }
  workgroupBarrier();
  addUp(t);
  let all = keys[u.kept - 1u];
  for (var i = t; i < u.kept; i += ${THREADS}u) { if (i == 0u || keys[max(i, 1u) - 1u] < u.topP * all) { atomicAdd(&keptCount, 1u); } }
  workgroupBarrier();
  let count = atomicLoad(&keptCount);
  let goal = keys[count - 1u] * draws[row];
  for (var i = t; i < count; i += ${THREADS}u) { if (keys[i] <= goal) { atomicAdd(&passedCount, 1u); } }
  workgroupBarrier();
  let rank = min(atomicLoad(&passedCount), count - 1u);
  if (t == 0u && group < u.batch) { y[group] = i32(ids[rank]); }`,
  });
};
