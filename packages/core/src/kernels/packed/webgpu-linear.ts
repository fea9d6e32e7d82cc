import type { FastKernel } from '../../op/define-op.js';
import { canGemv, webGpuGemv } from '../../webgpu/matmul/gemv.js';
import { dense, packedOperand } from '../../webgpu/matmul/operands.js';
import { webGpuMatMul } from '../../webgpu/matmul/run.js';
import { storeDense } from '../../webgpu/matmul/store.js';
import { sizeOf } from '../host.js';
import { valuesPerWord, type PackedAttrs } from './format.js';
import type { PackedGradInput, PackedLinearInput } from './op.js';

/** The words are unpacked in the shader: the weight stays packed in memory. */
export const webGpuPackedLinear: FastKernel<PackedLinearInput, PackedAttrs> = ({ inputs: { x, words, scales, bias }, attrs, backend }) => {
  const lead = x!.shape.slice(0, -1);
  const [n, k] = [words!.shape[0]!, x!.shape.at(-1)!];
  const m = sizeOf(lead);
  if (m * n * k === 0) return null;
  const store = { out: { shape: [...lead, n] }, m, n, bias };
  if (canGemv({ m, k, ...attrs })) {
    return webGpuGemv(backend, { m, n, k, x: x!, weight: words!, scales, ...attrs, epilogue: storeDense({ ...store, width: 1 }) });
  }
  const a = dense('a', x!, { sizes: { outer: m, k }, outer: k, k: 1 });
  const b = packedOperand('b', words!, scales, { ...attrs, shape: [n, k] });
  return webGpuMatMul(backend, { key: 'packed', m, n, k, a, b, epilogue: storeDense(store) });
};

/** The gradient of x: the same weight, summed over its rows. */
export const webGpuPackedLinearGrad: FastKernel<PackedGradInput, PackedAttrs> = ({ inputs: { dy, words, scales }, attrs, backend }) => {
  const [m, k] = dy!.shape as [number, number];
  const n = words!.shape[1]! * valuesPerWord(attrs.format);
  if (m * n * k === 0) return null;
  const a = dense('a', dy!, { sizes: { outer: m, k }, outer: k, k: 1 });
  const b = packedOperand('b', words!, scales, { ...attrs, shape: [k, n] }, 'outer');
  return webGpuMatMul(backend, { key: 'packed gradient', m, n, k, a, b, epilogue: storeDense({ out: { shape: [m, n] }, m, n }) });
};
