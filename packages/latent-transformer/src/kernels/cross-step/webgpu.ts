import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { decodeOnWebGpu, rowsOnWebGpu } from '../decode-attention/webgpu.js';
import { pairOnWebGpu, productOnWebGpu } from '../transformer-step/webgpu-rows.js';
import type { CacheTensors, CrossStepWeights } from './wasm.js';

type Pair = { hidden: tf.Tensor2D; residual?: tf.Tensor2D | undefined };

/**
 * One query a row against its cache row, in four dispatches: `residual = hidden + residual; hidden = residual + attention(norm(residual))`.
 * @param pair (R, D) each. @param rows, counts (R) cache row, and how many of its first slots are filled.
 */
export function crossAttendWebGpu(layer: CrossStepWeights, pair: Pair, cache: CacheTensors, { rows, counts }: { rows: ArrayLike<number>; counts: ArrayLike<number> }): { hidden: tf.Tensor2D; residual: tf.Tensor2D } {
  const backend = tf.backend() as KernelBackend;
  const table = rowsOnWebGpu(backend, { cacheRows: rows, counts });
  const reach = Array.from(counts).reduce((a, n) => Math.max(a, n), 1);
  const out = crossAttendAtWebGpu(layer, pair, cache, { rows: table, reach });
  backend.disposeData(table.dataId);
  return out;
}

/** The same at places that may be known to the device alone. @param places.rows (R, ROW_WORDS) int32, of rows that see `reach` slots at most. */
export function crossAttendAtWebGpu(layer: CrossStepWeights, pair: Pair, cache: CacheTensors, { rows, reach }: { rows: TensorInfo; reach: number }): { hidden: tf.Tensor2D; residual: tf.Tensor2D } {
  const backend = tf.backend() as KernelBackend;
  const { weight, eps } = layer.normQuery;
  const heads = layer.numHeads;
  const [residual, normed] = pairOnWebGpu(backend, 'addNorm', { ...pair, weight, eps }) as [TensorInfo, TensorInfo];
  const packed = layer.wq.packed !== undefined;
  const q = productOnWebGpu(backend, normed, { packed, weights: [layer.wq.weight] });
  const y = decodeOnWebGpu(backend, { q, k: cache.k, v: cache.v, rows }, { heads, scale: layer.scale, reach });
  const hidden = productOnWebGpu(backend, { ...y, shape: pair.hidden.shape }, { packed, weights: [layer.wo.weight] }, { residual });
  for (const t of [normed, q, y]) backend.disposeData(t.dataId);
  const tensor = (t: TensorInfo) => tf.engine().makeTensorFromTensorInfo(t) as tf.Tensor2D;
  return { hidden: tensor(hidden), residual: tensor(residual) };
}
