import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { runEach } from './kernel.js';
import { u32 } from './uniforms.js';

/** Rows that one thread adds up; more are summed in several rounds. */
const BLOCK = 64;

/**
 * Sums x (outer, rows, inner) over its middle axis, always in the same order.
 * @param shape of the result, `outer * inner` values.
 */
export function webGpuSum(backend: KernelBackend, x: TensorInfo, [outer, rows, inner]: readonly [number, number, number], shape: readonly number[]): TensorInfo {
  const blocks = Math.max(1, Math.ceil(rows / BLOCK));
  const [y] = runEach(backend, outer * blocks * inner, {
    key: 'sum of rows',
    reads: [{ name: 'x', type: 'f32', tensor: x }],
    writes: [{ name: 'y', type: 'f32', out: { shape: blocks === 1 ? shape : [outer, blocks, inner] } }],
    uniforms: { rows: u32(rows), inner: u32(inner), blocks: u32(blocks) },
    body: () => `  let j = i / u.inner % u.blocks; let o = i / u.inner / u.blocks;
  let end = min(u.rows, (j + 1u) * ${BLOCK}u);
  var s = 0.0;
  for (var r = j * ${BLOCK}u; r < end; r++) { s += x[(o * u.rows + r) * u.inner + i % u.inner]; }
  y[i] = s;`,
  }) as [TensorInfo];
  if (blocks === 1) return y;
  const total = webGpuSum(backend, y, [outer, blocks, inner], shape);
  backend.disposeData(y.dataId);
  return total;
}
