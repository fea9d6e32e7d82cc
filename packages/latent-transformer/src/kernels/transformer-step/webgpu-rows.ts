import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { dispatchWebGpu, workgroupGrid } from '@bytelm/core';
import { packedProductOnWebGpu } from './webgpu-packed.js';
import { pairCode, productCode, PRODUCT_ROWS, type PairMode } from './webgpu-text.js';

/** Rows of x that one workgroup of a product takes. */
const BATCH = 4;

interface PairInputs {
  /** (R, D) each. */
  hidden: TensorInfo;
  residual?: TensorInfo | undefined;
  /** (D) of the norm. */
  weight?: TensorInfo | undefined;
  eps: number;
}

/** One dispatch of `pairCode`: the sum, the normed rows, or both in this order. */
export function pairOnWebGpu(backend: KernelBackend, mode: PairMode, { hidden, residual, weight, eps }: PairInputs): TensorInfo[] {
  const [R, width] = hidden.shape as [number, number];
  const uniforms = Uint32Array.of(width, 0);
  new Float32Array(uniforms.buffer)[1] = eps;
  return dispatchWebGpu(backend, {
    key: `residual pair ${mode}${residual ? '' : ', first'}`,
    code: () => pairCode(mode, Boolean(residual)),
    inputs: [hidden, ...(residual ? [residual] : []), ...(weight ? [weight] : [])],
    outputs: mode === 'addNorm' ? [{ shape: [R, width] }, { shape: [R, width] }] : [{ shape: [R, width] }],
    uniforms,
    workgroups: workgroupGrid(backend, R),
  });
}

export interface ProductWeights {
  /** (N_i, K) each, as if below each other. */
  weights: readonly TensorInfo[];
  /** (N_i) each, or none. */
  biases?: readonly TensorInfo[];
  /** The weights are words of bf16, (N_i, K / 2). */
  packed?: boolean;
}

export interface ProductOptions {
  /** Rows `gate + n` and `value + n` of the stack give output n < size: silu(gate) · value. */
  gated?: { gate: number; value: number; size: number };
  /** (R, N), added. */
  residual?: TensorInfo;
  /** (R) int32: where it is 0 in all rows of a workgroup, the weights are not read, and nothing is written. Heeded where there is a binding left. */
  active?: TensorInfo | undefined;
}

/** Storage buffers that every device can bind. */
const MAX_BINDINGS = 8;

/** x (R, K) times the stacked weights, (R, N), in one dispatch (one a weight where they are packed); for a few rows. */
export function productOnWebGpu(backend: KernelBackend, x: TensorInfo, from: ProductWeights, options: ProductOptions = {}): TensorInfo {
  if (from.packed) return packedProductOnWebGpu(backend, x, from, options);
  const { weights, biases = [] } = from;
  const { gated, residual, active } = options;
  const [R, width] = x.shape as [number, number];
  const ends: number[] = [];
  for (const w of weights) ends.push((ends.at(-1) ?? 0) + w.shape[0]!);
  const total = ends.at(-1)!;
  const size = gated?.size ?? total;
  const inputs = [x, ...weights, ...biases, ...(residual ? [residual] : [])];
  const isMasked = active !== undefined && inputs.length + 2 <= MAX_BINDINGS;
  const text = { isAligned: width % 4 === 0, batch: Math.min(BATCH, R), parts: weights.length as 1 | 2 | 3, hasBias: biases.length > 0, isGated: Boolean(gated), hasResidual: Boolean(residual), isMasked };
  const [x0, y0] = workgroupGrid(backend, Math.ceil(size / PRODUCT_ROWS));
  const [y] = dispatchWebGpu(backend, {
    key: `product ${JSON.stringify(text)}`,
    code: () => productCode(text),
    inputs: isMasked ? [...inputs, active] : inputs,
    outputs: [{ shape: [R, size] }],
    uniforms: Uint32Array.of(R, size, ends[0]!, ends[1] ?? total, total - 1, gated?.gate ?? 0, gated?.value ?? 0, width),
    workgroups: [x0, y0, Math.ceil(R / text.batch)],
  });
  return y!;
}
