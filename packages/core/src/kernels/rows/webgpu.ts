import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import type { FastKernel } from '../../op/define-op.js';
import { runEach, vectorOf } from '../../webgpu/kernel.js';
import { webGpuRuns } from '../../webgpu/runs.js';
import { webGpuSortPositions } from '../../webgpu/sort.js';
import { u32 } from '../../webgpu/uniforms.js';
import { sizeOf } from '../host.js';

/** y[b, l] = x[b, idx[b, l]], zeros for rows that x does not have. */
function gather(backend: KernelBackend, x: TensorInfo, idx: TensorInfo, [rows, length, width]: readonly [number, number, number], shape: number[]): TensorInfo[] | null {
  if (sizeOf(shape) * rows === 0) return null;
  const { type, per } = vectorOf(width);
  return runEach(backend, sizeOf(shape) / per, {
    key: `gather rows ${type}`,
    reads: [{ name: 'x', type, tensor: x }, { name: 'idx', type: 'u32', tensor: idx }],
    writes: [{ name: 'y', type, out: { shape } }],
    uniforms: { rows: u32(rows), length: u32(length), width: u32(width / per) },
    body: () => `  let at = i / u.width; let row = idx[at];
  y[i] = select(${type}(), x[(at / u.length * u.rows + min(row, u.rows - 1u)) * u.width + i % u.width], row < u.rows);`,
  });
}

export const webGpuGatherRows: FastKernel<'x' | 'idx', object> = ({ inputs: { x, idx }, backend }) => {
  const [batch, rows, width] = x!.shape as [number, number, number];
  const length = idx!.shape[1]!;
  return gather(backend, x!, idx!, [rows, length, width], [batch, length, width]);
};

/** Ids outside the table give zeros: they are on the device, where nobody can throw. */
export const webGpuEmbedding: FastKernel<'table' | 'ids', object> = ({ inputs: { table, ids }, backend }) => {
  const [rows, width] = table!.shape as [number, number];
  return gather(backend, table!, ids!, [rows, Math.max(1, sizeOf(ids!.shape)), width], [...ids!.shape, width]);
};

/**
 * y[b, idx[b, l]] += values[b, l] without atomics: positions are sorted by row, and each value of a row adds up the row's positions in order.
 * So the result is the same in every run.
 */
export const webGpuScatterAddRows: FastKernel<'values' | 'idx', { rows: number }> = ({ inputs: { values, idx }, attrs: { rows }, backend }) => {
  const [batch, length, width] = values!.shape as [number, number, number];
  const count = batch * length;
  if (count * width * rows === 0 || batch * rows >= 2 ** 30) return null;
  const none = batch * rows;
  const [keys] = runEach(backend, count, {
    key: 'row keys',
    reads: [{ name: 'idx', type: 'u32', tensor: idx! }],
    writes: [{ name: 'keys', type: 'u32', out: { shape: [count], dtype: 'int32' } }],
    uniforms: { rows: u32(rows), length: u32(length), none: u32(none) },
    body: () => '  let row = idx[i];\n  keys[i] = select(u.none, i / u.length * u.rows + row, row < u.rows);',
  }) as [TensorInfo];
  const order = webGpuSortPositions(backend, keys, count, none);
  const reads = [{ name: 'keys', type: 'u32' as const, tensor: keys }, { name: 'order', type: 'u32' as const, tensor: order }];
  const runs = webGpuRuns(backend, count, none, 'sorted keys', reads, {}, 'keys[order[j]]');
  const { type, per } = vectorOf(width);
  const sums = runEach(backend, (none * width) / per, {
    key: `scatter rows ${type}`,
    reads: [{ name: 'values', type, tensor: values! }, { name: 'order', type: 'u32', tensor: order }, { name: 'runs', type: 'u32', tensor: runs }],
    writes: [{ name: 'y', type, out: { shape: [batch, rows, width] } }],
    uniforms: { width: u32(width / per) },
    body: () => `  let row = i / u.width; let end = runs[2u * row + 1u];
  var s = ${type}();
  for (var j = runs[2u * row]; j < end; j++) { s += values[order[j] * u.width + i % u.width]; }
  y[i] = s;`,
  });
  for (const t of [keys, order, runs]) backend.disposeData(t.dataId);
  return sums;
};
