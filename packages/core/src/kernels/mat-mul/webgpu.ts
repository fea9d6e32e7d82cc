import type { FastKernel } from '../../op/define-op.js';
import { webGpuProduct } from '../../webgpu/matmul/product.js';
import { webGpuSum } from '../../webgpu/sum.js';
import { sizeOf } from '../host.js';
import { matMulSizes, type MatMulAttrs } from './sizes.js';

export const webGpuMatMulKernel: FastKernel<'a' | 'b', MatMulAttrs> = ({ inputs: { a, b }, attrs, backend }) => {
  const { batch, m, k, n, shape } = matMulSizes(a!.shape, b!.shape, attrs);
  if (batch * m * n * k === 0) return null;
  return [webGpuProduct(backend, a!, b!, { batch, m, n, k, ...attrs, shape })];
};

export const webGpuLinear: FastKernel<'x' | 'weight' | 'bias', object> = ({ inputs: { x, weight, bias }, backend }) => {
  const [n, k] = weight!.shape as [number, number];
  const lead = x!.shape.slice(0, -1);
  const m = sizeOf(lead);
  if (m * n * k === 0) return null;
  return [webGpuProduct(backend, x!, weight!, { batch: 1, m, n, k, transposeA: false, transposeB: true, shape: [...lead, n], bias })];
};

export const webGpuSumRows: FastKernel<'x', object> = ({ inputs: { x }, backend }) => {
  const [rows, n] = x!.shape as [number, number];
  return rows * n === 0 ? null : [webGpuSum(backend, x!, [1, rows, n], [n])];
};
