import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { isSoftwareDevice } from '../adapter.js';
import { webGpuSum } from '../sum.js';
import { u32 } from '../uniforms.js';
import { canGemv, webGpuGemv } from './gemv.js';
import { dense, type DenseView } from './operands.js';
import { webGpuMatMul } from './run.js';
import { storeDense } from './store.js';

/** A product of whole tensors, matrices of a batch one after the other. */
export interface Product {
  batch: number;
  m: number;
  n: number;
  k: number;
  /** A stands as (k, m). */
  transposeA: boolean;
  /** B stands as (n, k). */
  transposeB: boolean;
  /** Of the result. */
  shape: readonly number[];
  bias?: TensorInfo | undefined;
  activation?: 'silu' | undefined;
  residual?: TensorInfo | undefined;
}

/**
 * A·B by whichever kernel suits the shape: a few rows or columns, a long inner axis cut into slices, or tiles. Sizes are at least 1.
 * @returns a new tensor.
 */
export function webGpuProduct(backend: KernelBackend, a: TensorInfo, b: TensorInfo, p: Product): TensorInfo {
  const { batch, m, n, k, transposeA, transposeB, shape, bias, activation, residual } = p;
  const finish = { bias, activation, residual };
  if (batch === 1 && transposeB && !transposeA && canGemv({ m, k })) {
    return webGpuGemv(backend, { m, n, k, x: a, weight: b, epilogue: storeDense({ out: { shape }, m, n, width: 1, ...finish }) })[0]!;
  }
  // A column: the same kernel with the factors' roles exchanged.
  if (batch === 1 && n === 1 && !transposeA && !bias) {
    return webGpuGemv(backend, { m: 1, n: m, k, x: b, weight: a, epilogue: storeDense({ out: { shape }, m: 1, n: m, width: 1, ...finish }) })[0]!;
  }
  const views = { a: viewOf(m, k, transposeA, batch), b: viewOf(n, k, !transposeB, batch) };
  const slices = slicesOf(backend, p);
  const call = { m, n, k, a: dense('a', a, views.a), b: dense('b', b, views.b) };
  if (slices === 1) return webGpuMatMul(backend, { ...call, key: 'product', batch, epilogue: storeDense({ out: { shape }, m, n, ...finish }) })[0]!;

  // Slices of k are products of their own, added up in order: too few tiles would leave most of a device idle.
  const slice = Math.ceil(k / slices / 4) * 4;
  const [planes] = webGpuMatMul(backend, {
    ...call,
    key: 'slices',
    batch: [batch, slices],
    uniforms: { slice: u32(slice) },
    kFrom: 'bi * u.slice',
    kTo: '(bi + 1u) * u.slice',
    epilogue: storeDense({ out: { shape: [batch, slices, m, n] }, m, n, inner: slices }),
  }) as [TensorInfo];
  const sum = webGpuSum(backend, planes, [batch, slices, m * n], shape);
  backend.disposeData(planes.dataId);
  return sum;
}

/** One factor: `isTurned` when its outer axis is the contiguous one. */
function viewOf(outer: number, k: number, isTurned: boolean, batch: number): DenseView {
  return { sizes: { outer, k }, outer: isTurned ? 1 : k, k: isTurned ? outer : 1, batch: batch > 1 ? [outer * k, 0] : [0, 0] };
}

/** Workgroups that keep a large device busy, and the least of k that is worth a workgroup. */
const BUSY = 256;
const SLICE = 256;

function slicesOf(backend: KernelBackend, { batch, m, n, k, bias, activation, residual }: Product): number {
  if (bias || activation || residual || isSoftwareDevice(backend)) return 1;
  const tiles = batch * Math.ceil(m / 64) * Math.ceil(n / 64);
  return Math.max(1, Math.min(16, Math.floor(BUSY / tiles), Math.floor(k / SLICE)));
}

