import { gemm, GEMM_SCRATCH_BYTES } from './lib/gemm';
import { gemvRows, gemvT } from './lib/gemv';
import { FEW_ROWS, project } from './lib/project';
import { addRow, zeroRow } from './lib/rows';

export function scratchBytes(): i32 {
  return GEMM_SCRATCH_BYTES;
}

function product(
  M: i32, N: i32, K: i32,
  a: usize, ars: i32, acs: i32,
  b: usize, brs: i32, bcs: i32,
  c: usize, scratch: usize,
): void {
  if (K > 0 && M <= FEW_ROWS && (acs == 1 || M == 1)) {
    // One row of a transposed A is contiguous as well: its column stride is M = 1.
    if (brs == 1) {
      gemvRows(M, N, K, b, bcs, a, ars, 0, c, N, false);
      return;
    }
    if (bcs == 1) {
      for (let i = 0; i < M; i++) gemvT(N, K, b, brs, a + (<usize>(i * ars) << 2), c + (<usize>(i * N) << 2), false);
      return;
    }
  }
  if (K > 0 && N == 1) {
    if (acs == 1) gemvRows(1, M, K, a, ars, b, 0, 0, c, 0, false);
    else gemvT(M, K, a, acs, b, c, false);
    return;
  }
  gemm(M, N, K, a, ars, acs, b, brs, bcs, c, N, scratch, false);
}

/** `batch` products C = A B; (row stride, column stride) in elements, one stride of each operand is 1; C is row-major. */
export function matMul(
  batch: i32, M: i32, N: i32, K: i32,
  a: usize, ars: i32, acs: i32,
  b: usize, brs: i32, bcs: i32,
  c: usize, scratch: usize,
): void {
  for (let g = 0; g < batch; g++) {
    product(M, N, K, a, ars, acs, b, brs, bcs, c, scratch);
    a += <usize>(M * K) << 2;
    b += <usize>(K * N) << 2;
    c += <usize>(M * N) << 2;
  }
}

/** y (rows, N) = x (rows, K) w (N, K)^T + bias (N, 0 = none). */
export function linear(rows: i32, N: i32, K: i32, x: usize, w: usize, bias: usize, y: usize, scratch: usize): void {
  project(rows, N, K, x, w, bias, y, N, scratch);
}

/** y (n) = sum over the rows of x (rows, n). */
export function sumRows(rows: i32, n: i32, x: usize, y: usize): void {
  zeroRow(n, y);
  for (let r = 0; r < rows; r++) {
    addRow(n, x, y);
    x += <usize>n << 2;
  }
}
