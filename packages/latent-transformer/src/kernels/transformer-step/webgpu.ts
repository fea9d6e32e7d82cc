import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { dispatchWebGpu } from '@bytelm/core';
import { canDecode, decodeOnWebGpu, rowsOnWebGpu } from '../decode-attention/webgpu.js';
import type { TransformerStepBlock, TransformerStepCall } from './wasm.js';
import { pairOnWebGpu, productOnWebGpu, type ProductWeights } from './webgpu-rows.js';
import { headsCode, type HeadNorm } from './webgpu-text.js';

/** Up to so many rows the products are bound by reading the weights; beyond, a tiled product is better. */
const MAX_ROWS = 16;

/** Whether fused steps take these heads and so many rows. */
export const canStepOnWebGpu = (rows: number, { headDim, numHeads, numKvHeads = numHeads }: { headDim: number; numHeads: number; numKvHeads?: number }): boolean =>
  rows <= MAX_ROWS && canDecode(headDim, headDim, numHeads, numKvHeads, rows);

const stacked = ({ packed }: TransformerStepBlock, linears: readonly { weight: tf.Tensor; bias?: tf.Tensor | undefined }[]): ProductWeights => ({
  packed,
  weights: linears.map((l) => l.weight),
  biases: linears.flatMap((l) => l.bias ?? []),
});

/** Where the rows of a step stand. */
export interface StepPlaces {
  /** (R, ROW_WORDS) int32; a cache row below 0 takes no part. */
  rows: TensorInfo;
  /** No row sees more slots than this. */
  reach: number;
  /** (R) int32, 0 in rows that take no part. Default: all do. */
  active?: TensorInfo | undefined;
}

/** A whole block's decoding step at places that the host knows. Changes the caches in place. */
export function transformerStepWebGpu(call: TransformerStepCall): { hidden: tf.Tensor2D; residual: tf.Tensor2D } {
  const backend = tf.backend() as KernelBackend;
  const rows = rowsOnWebGpu(backend, call);
  let reach = 1;
  for (let i = 0; i < call.counts.length; i++) reach = Math.max(reach, call.counts[i]!);
  const out = blockStepWebGpu(call, { rows, reach });
  backend.disposeData(rows.dataId);
  return out;
}

/** A whole block's decoding step in eight to ten dispatches, all its small tensors on the device. Changes the caches in place. */
export function blockStepWebGpu(call: TransformerStepBlock, places: StepPlaces): { hidden: tf.Tensor2D; residual: tf.Tensor2D } {
  const backend = tf.backend() as KernelBackend;
  const { eps, norm1, norm2, postNorm } = call;
  const { active } = places;
  const made: TensorInfo[] = [];
  const kept = <T extends TensorInfo>(...tensors: T[]): T => {
    made.push(...tensors);
    return tensors[0]!;
  };
  /** The stream with `hidden` added, and what a branch reads of it. */
  const enter = (hidden: TensorInfo, residual: TensorInfo | undefined, weight: tf.Tensor): [TensorInfo, TensorInfo] => {
    const [sum, normed] = pairOnWebGpu(backend, postNorm ? 'add' : 'addNorm', { hidden, residual, weight: postNorm ? undefined : weight, eps });
    if (normed) kept(normed);
    return [sum!, normed ?? sum!];
  };
  const [first, x] = enter(call.hidden, call.residual, norm1);
  const mixed = kept(attend(backend, call, places, x, kept));
  const branch = productOnWebGpu(backend, mixed, stacked(call, [call.out]), { active });
  if (!call.intermediate) {
    const hidden = postNorm ? pairOnWebGpu(backend, 'norm', { hidden: kept(branch), weight: norm1, eps })[0]! : branch;
    return finish(backend, made, hidden, first);
  }
  kept(first, branch);
  const [residual, z] = postNorm
    ? both(pairOnWebGpu(backend, 'normAdd', { hidden: branch, residual: first, weight: norm1, eps })[0]!)
    : enter(branch, first, norm2!);
  const F = call.intermediate;
  const gated = { size: F, gate: call.gateFirst ? 0 : F, value: call.gateFirst ? F : 0 };
  const inner = kept(productOnWebGpu(backend, z, stacked(call, call.gateUp), { gated, active }));
  const out = productOnWebGpu(backend, inner, stacked(call, [call.down!]), { active });
  const hidden = postNorm ? pairOnWebGpu(backend, 'norm', { hidden: kept(out), weight: norm2!, eps })[0]! : out;
  return finish(backend, made, hidden, residual);
}

const both = (t: TensorInfo): [TensorInfo, TensorInfo] => [t, t];

/** Queries, keys and values of x, the caches with the new ones, and what the queries find there: (R, H·D). */
function attend(backend: KernelBackend, call: TransformerStepBlock, { rows, reach, active }: StepPlaces, x: TensorInfo, kept: <T extends TensorInfo>(t: T) => T): TensorInfo {
  const { heads, k, v, cos, sin, qNorm, kNorm, scale } = call;
  const [, capacity, kvHeads, headDim] = k.shape;
  const R = rows.shape[0]!;
  const qkv = kept(productOnWebGpu(backend, x, stacked(call, call.qkv), { active }));
  const norm: HeadNorm = !qNorm ? 'none' : call.normPerHead ? 'per-head' : 'all-heads';
  const half = cos?.shape[1] ?? 0;
  const uniforms = Uint32Array.of(heads * headDim, kvHeads * headDim, headDim, half, capacity, Number(call.interleaved), 0, 0);
  new Float32Array(uniforms.buffer)[6] = call.eps;
  dispatchWebGpu(backend, {
    key: `heads of a step, norm ${norm}${half ? ', rotated' : ''}`,
    code: () => headsCode(norm, half > 0),
    inputs: [rows, ...(half ? [cos!, sin!] : []), ...(qNorm ? [qNorm, kNorm!] : [])],
    outputs: [qkv, k, v],
    uniforms,
    workgroups: [norm === 'all-heads' ? 3 : heads + 2 * kvHeads, R],
  });
  const y = decodeOnWebGpu(backend, { q: qkv, k, v, rows }, { heads, scale, reach, stride: heads + 2 * kvHeads });
  return { ...y, shape: [R, heads * headDim] };
}

function finish(backend: KernelBackend, made: readonly TensorInfo[], hidden: TensorInfo, residual: TensorInfo): { hidden: tf.Tensor2D; residual: tf.Tensor2D } {
  for (const t of made) backend.disposeData(t.dataId);
  const tensor = (t: TensorInfo) => tf.engine().makeTensorFromTensorInfo(t) as tf.Tensor2D;
  return { hidden: tensor(hidden), residual: tensor(residual) };
}
