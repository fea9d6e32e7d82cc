import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { runEach, runKernel } from './kernel.js';
import { u32 } from './uniforms.js';

/** Positions whose ranks one workgroup finds; keys are sorted by so many bits in a pass. */
const BLOCK = 256;
const BITS = 10;

/**
 * The positions 0..n-1 in the order of their keys, equal keys in order of position: a counting sort without atomics, the same in every run.
 *
 * @param keys (n) int32, 0 to `most`; others must not occur.
 * @returns (n) int32; the caller disposes its data.
 */
export function webGpuSortPositions(backend: KernelBackend, keys: TensorInfo, n: number, most: number): TensorInfo {
  let order: TensorInfo | undefined;
  for (let shift = 0; shift === 0 || most >> shift > 0; shift += BITS) {
    const next = sortPass(backend, keys, order, n, shift, Math.min(1 << BITS, (most >> shift) + 1));
    if (order) backend.disposeData(order.dataId);
    order = next;
  }
  return order!;
}

/** One stable pass over `order` (or positions as they come) by the digit at `shift`. */
function sortPass(backend: KernelBackend, keys: TensorInfo, order: TensorInfo | undefined, n: number, shift: number, digits: number): TensorInfo {
  const blocks = Math.ceil(n / BLOCK);
  const reads = [{ name: 'keys', type: 'u32' as const, tensor: keys }, ...(order ? [{ name: 'order', type: 'u32' as const, tensor: order }] : [])];
  const uniforms = { n: u32(n), shift: u32(shift), digits: u32(digits), blocks: u32(blocks) };
  const functions = () => `fn positionAt(j: u32) -> u32 { return ${order ? 'order[j]' : 'j'}; }
fn digitAt(j: u32) -> u32 { return (keys[positionAt(j)] >> u.shift) % ${1 << BITS}u; }`;

  // How often each digit comes in each block, digit by digit, and the rank of each key among its equals in the block.
  const [counts, ranks] = runKernel(backend, {
    key: `sort ranks${order ? ' again' : ''}`,
    reads,
    writes: [{ name: 'counts', type: 'u32', out: { shape: [digits * blocks], dtype: 'int32' } }, { name: 'ranks', type: 'u32', out: { shape: [n], dtype: 'int32' } }],
    uniforms,
    groups: blocks,
    threads: BLOCK,
    functions: () => `${functions()}\nvar<workgroup> tile: array<u32, ${BLOCK}>;`,
    body: () => `  let j = group * ${BLOCK}u + t;
  let isReal = j < u.n && group < u.blocks;
  let own = select(0xffffffffu, digitAt(min(j, u.n - 1u)), isReal);
  tile[t] = own;
  if (group < u.blocks) { for (var d = t; d < u.digits; d += ${BLOCK}u) { counts[d * u.blocks + group] = 0u; } }
  storageBarrier();
  workgroupBarrier();
  var before = 0u; var all = 0u;
  for (var i = 0u; i < ${BLOCK}u; i++) { if (tile[i] == own) { all++; if (i < t) { before++; } } }
  if (isReal) {
    ranks[j] = before;
    if (before == 0u) { counts[own * u.blocks + group] = all; }
  }`,
  }) as [TensorInfo, TensorInfo];
  const starts = webGpuPrefixSum(backend, counts, digits * blocks);
  const [sorted] = runEach(backend, n, {
    key: `sort places${order ? ' again' : ''}`,
    reads: [...reads, { name: 'starts', type: 'u32', tensor: starts }, { name: 'ranks', type: 'u32', tensor: ranks }],
    writes: [{ name: 'sorted', type: 'u32', out: { shape: [n], dtype: 'int32' } }],
    uniforms,
    functions,
    body: () => `  sorted[starts[digitAt(i) * u.blocks + i / ${BLOCK}u] + ranks[i]] = positionAt(i);`,
  }) as [TensorInfo];
  for (const t of [counts, ranks, starts]) backend.disposeData(t.dataId);
  return sorted;
}

const SCAN_THREADS = 256;
const EACH = 8;

/** Exclusive prefix sums of x (n) int32, n up to 2^24. @returns (n) int32. */
export function webGpuPrefixSum(backend: KernelBackend, x: TensorInfo, n: number): TensorInfo {
  const share = SCAN_THREADS * EACH;
  const blocks = Math.ceil(n / share);
  const [sums, ends] = runKernel(backend, {
    key: 'prefix sums',
    reads: [{ name: 'x', type: 'u32', tensor: x }],
    writes: [{ name: 'y', type: 'u32', out: { shape: [n], dtype: 'int32' } }, { name: 'ends', type: 'u32', out: { shape: [blocks], dtype: 'int32' } }],
    uniforms: { n: u32(n), blocks: u32(blocks) },
    groups: blocks,
    threads: SCAN_THREADS,
    functions: () => `var<workgroup> sums: array<u32, ${SCAN_THREADS}>;`,
    body: () => `  let start = group * ${share}u + t * ${EACH}u;
  var own = 0u;
  for (var j = start; j < min(start + ${EACH}u, u.n); j++) { own += x[j]; }
  sums[t] = own;
  for (var by = 1u; by < ${SCAN_THREADS}u; by *= 2u) {
    workgroupBarrier();
    var other = 0u;
    if (t >= by) { other = sums[t - by]; }
    workgroupBarrier();
    sums[t] += other;
  }
  workgroupBarrier();
  var s = sums[t] - own;
  for (var j = start; j < min(start + ${EACH}u, u.n); j++) { let v = x[j]; y[j] = s; s += v; }
  if (t == ${SCAN_THREADS - 1}u && group < u.blocks) { ends[group] = sums[t]; }`,
  }) as [TensorInfo, TensorInfo];
  if (blocks === 1) {
    backend.disposeData(ends.dataId);
    return sums;
  }
  const offsets = webGpuPrefixSum(backend, ends, blocks);
  const [out] = runEach(backend, n, {
    key: 'prefix sums, blocks joined',
    reads: [{ name: 'x', type: 'u32', tensor: sums }, { name: 'offsets', type: 'u32', tensor: offsets }],
    writes: [{ name: 'y', type: 'u32', out: { shape: [n], dtype: 'int32' } }],
    uniforms: {},
    body: () => `  y[i] = x[i] + offsets[i / ${share}u];`,
  }) as [TensorInfo];
  for (const t of [sums, ends, offsets]) backend.disposeData(t.dataId);
  return out;
}
