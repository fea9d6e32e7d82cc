import type { FastKernel } from '@bytelm/core';
import { runWgsl } from '@bytelm/core/webgpu';
import type { CompactAttrs } from './op.js';

const GROUP = 256;
/** Positions of a thread; a workgroup walks a row by tiles. */
const EACH = 16;

/** Boundaries of 16 positions a thread, a scan of the threads' counts, and the boundaries again with their ranks. */
const MAIN = `
  var before = 0u;
  for (var tile = 0u; tile < u.length; tile += ${GROUP * EACH}u) {
    let first = tile + local * ${EACH}u;
    let end = min(first + ${EACH}u, u.length);
    var own = 0u;
    for (var t = first; t < end; t++) { if (mask[g * u.length + t] > 0.5) { own++; } }
    counts[local] = own;
    workgroupBarrier();
    for (var back = 1u; back < ${GROUP}u; back *= 2u) {
      var sum = counts[local];
      if (local >= back) { sum += counts[local - back]; }
      workgroupBarrier();
      counts[local] = sum;
      workgroupBarrier();
    }
    var rank = before + counts[local] - own;
    for (var t = first; t < end; t++) {
      if (mask[g * u.length + t] > 0.5) {
        if (rank < u.maxChunks) { index[g * u.maxChunks + rank] = i32(t); }
        rank++;
      }
      chunk[g * u.length + t] = i32(rank) - 1;
    }
    before += counts[${GROUP - 1}];
    workgroupBarrier();
  }
  for (var j = before + local; j < u.maxChunks; j += ${GROUP}u) { index[g * u.maxChunks + j] = -1; }
  if (local == 0u) { count[g] = i32(before); }`;

/** A workgroup a row. */
export const compactWebGpu: FastKernel<'mask', CompactAttrs> = ({ inputs: { mask }, attrs: { maxChunks }, backend }) => {
  const [batch, length] = mask!.shape as [number, number];
  if (batch * length * maxChunks === 0) return null;
  return runWgsl(backend, {
    key: 'compact boundaries',
    group: GROUP,
    inputs: { mask },
    outputs: { index: { shape: [batch, maxChunks], dtype: 'int32' }, chunk: { shape: [batch, length], dtype: 'int32' }, count: { shape: [batch], dtype: 'int32' } },
    u32: { length, maxChunks },
    workgroups: batch,
    declare: () => `var<workgroup> counts: array<u32, ${GROUP}>;`,
    main: () => MAIN,
  });
};
