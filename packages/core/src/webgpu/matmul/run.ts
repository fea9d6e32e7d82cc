import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { asWebGpu } from '../../backend/webgpu-backend.js';
import { dispatchWebGpu } from '../../backend/webgpu-dispatch.js';
import { subgroupSizes } from '../adapter.js';
import { WGSL } from '../snippets.js';
import { uniformData } from '../uniforms.js';
import { chooseTile } from './choose.js';
import { batchOf, gridOf, matMulCode, readsOf, uniformsOf } from './code.js';
import { tileName, type Tile } from './tile.js';
import type { MatMulCall } from './types.js';

/**
 * Runs a product on WebGPU.
 * @returns the outputs of the epilogue, in order.
 * @throws BackendError beyond the limits of the device.
 */
export function webGpuMatMul(backend: KernelBackend, given: MatMulCall): TensorInfo[] {
  const call = given.pairs && !given.pairs.combine ? { ...given, functions: `${given.functions ?? ''}${WGSL.activations}` } : given;
  const { m, n, k, a, b, epilogue, pairs } = call;
  const [outer, inner] = batchOf(call);
  const batch = outer * inner;
  const tile = call.tile ?? chooseTile(backend, { batch, m, n, k, forms: `${a.along}${a.width} ${b.along}${b.width}`, isPaired: Boolean(pairs) });
  const most = asWebGpu(backend).device.limits.maxComputeWorkgroupsPerDimension;
  const key = keyOf(call, tile);
  let outputs = epilogue.outputs.map((o) => o.out);
  // Longer batches than the grid is deep come in several dispatches.
  for (let first = 0; first < Math.max(1, batch); first += most) {
    const own = uniformsOf(call, first);
    outputs = dispatchWebGpu(backend, {
      key,
      code: () => matMulCode(call, tile, own, subgroupSizes(backend)?.max),
      inputs: readsOf(call).map((r) => r.tensor),
      outputs,
      uniforms: uniformData(own),
      workgroups: [...gridOf(call, tile), Math.min(most, batch - first)],
    });
  }
  return outputs as TensorInfo[];
}

function keyOf({ key, a, b, epilogue, pairs, kFrom, kTo, skip }: MatMulCall, tile: Tile): string {
  const ranges = `${kFrom ? ' from' : ''}${kTo ? ' to' : ''}${skip ? ' skip' : ''}`;
  return `matmul ${key}: ${a.key}, ${b.key}, ${epilogue.key}${pairs ? ` pairs ${pairs.combine ?? ''}` : ''}${ranges}, ${tileName(tile)}`;
}
