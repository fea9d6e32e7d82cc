import { sizeOf } from '../host.js';

export interface MatMulAttrs {
  transposeA: boolean;
  transposeB: boolean;
}

/** A product as the kernels see it: `batch` products (m x k)(k x n). A 2-D b makes all rows of a one product. */
export function matMulSizes(a: readonly number[], b: readonly number[], { transposeA, transposeB }: MatMulAttrs) {
  const [ra, ca] = a.slice(-2);
  const [rb, cb] = b.slice(-2);
  const rows = transposeA ? ca : ra;
  const k = transposeA ? ra : ca;
  const n = transposeB ? rb : cb;
  const lead = a.slice(0, -2);
  const isShared = b.length === 2;
  return { batch: isShared ? 1 : sizeOf(lead), m: isShared ? rows * sizeOf(lead) : rows, k, n, shape: [...lead, rows, n] };
}
