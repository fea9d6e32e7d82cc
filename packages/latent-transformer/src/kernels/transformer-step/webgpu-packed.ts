import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { canGemv, storeDense, webGpuGemv, WGSL } from '@bytelm/core/webgpu';
import type { ProductOptions, ProductWeights } from './webgpu-rows.js';

type Epilogue = ReturnType<typeof storeDense>;

/** Whether so many rows can be multiplied with bf16 matrices of these widths. */
export const canMultiplyPacked = (rows: number, widths: readonly number[]): boolean => widths.every((k) => canGemv({ m: rows, k, format: 'bf16' }));

/** `productOnWebGpu` with weights kept as words of bf16: a dispatch for each weight. Gated products have no biases. */
export function packedProductOnWebGpu(backend: KernelBackend, x: TensorInfo, { weights, biases = [] }: ProductWeights, { gated, residual, active }: ProductOptions): TensorInfo {
  const [m, k] = x.shape as [number, number];
  const multiply = (weight: TensorInfo, n: number, epilogue: Epilogue, pairs?: { first: number; second: number }) =>
    webGpuGemv(backend, { m, n, k, x, weight, format: 'bf16', epilogue, pairs, active })[0]!;
  const rows = (n: number) => storeDense({ out: { shape: [m, n] }, m, n, width: 1 });
  if (gated) {
    const { size, gate, value } = gated;
    if (weights.length === 1) return multiply(weights[0]!, size, rows(size), { first: gate, second: value });
    const opened = multiply(weights[0]!, size, rows(size));
    const y = multiply(weights[1]!, size, timesSilu(rows(size), opened));
    backend.disposeData(opened.dataId);
    return y;
  }
  const total = weights.reduce((n, w) => n + w.shape[0]!, 0);
  let out: TensorInfo | { shape: number[] } = { shape: [m, total] };
  let offset = 0;
  weights.forEach((weight, i) => {
    const n = weight.shape[0]!;
    out = multiply(weight, n, storeDense({ out, m, n, row: total, offset, width: 1, bias: biases[i], residual }));
    offset += n;
  });
  return out as TensorInfo;
}

/** Stores the product times silu of what stands at its place in `gate`. */
function timesSilu(dense: Epilogue, gate: TensorInfo): Epilogue {
  return {
    ...dense,
    key: `${dense.key} times silu`,
    bindings: [{ name: 'gate', type: 'f32', tensor: gate }],
    functions: WGSL.activations,
    store: (value, m, n) => `let at = cBase + ${m} * u.cRow + ${n}; c[at] = silu(gate[at]) * ${value};`,
  };
}
