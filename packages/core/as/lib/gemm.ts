import { micro4x8 } from './micro';
import { MR, NR, packA, packB } from './pack';

/** Blocks that stay in cache: A 96 x 256 (96 KiB), B 256 x 512 (512 KiB). */
const MC: i32 = 96;
const KC: i32 = 256;
const NC: i32 = 512;

/** Bytes of scratch that `gemm` needs, whatever the sizes. */
export const GEMM_SCRATCH_BYTES: i32 = (MC * KC + KC * NC + MR * NR) * 4;

/** A tile that sticks out of C: only its first `rows` x `cols` entries exist. */
function storeEdge(tile: usize, rows: i32, cols: i32, c: usize, crs: i32, accumulate: bool): void {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) {
      const at = c + (<usize>(i * crs + j) << 2);
      const v = load<f32>(tile + (<usize>(i * NR + j) << 2));
      store<f32>(at, accumulate ? load<f32>(at) + v : v);
    }
  }
}

/**
 * C[M, N] = A[M, K] B[K, N], or C += A B when `accumulate`. Float32; any layout of A and B by (row stride, column stride) in elements,
 * so transposes and head slices cost nothing; the columns of C are adjacent. K = 0 gives zeros. C must not overlap A or B.
 *
 * @param scratch GEMM_SCRATCH_BYTES bytes
 */
export function gemm(
  M: i32, N: i32, K: i32,
  a: usize, ars: i32, acs: i32,
  b: usize, brs: i32, bcs: i32,
  c: usize, crs: i32,
  scratch: usize, accumulate: bool,
): void {
  if (K <= 0) {
    if (!accumulate) for (let i = 0; i < M; i++) memory.fill(c + (<usize>(i * crs) << 2), 0, <usize>N << 2);
    return;
  }
  const pa = scratch;
  const pb = pa + ((MC * KC) << 2);
  const tile = pb + ((KC * NC) << 2);
  // Equal blocks of K (a multiple of 4): 320 is 160 + 160, not 256 + 64.
  const blocks = (K + KC - 1) / KC;
  const kBlock = ((K + blocks - 1) / blocks + 3) & ~3;
  for (let n0 = 0; n0 < N; n0 += NC) {
    const nc = min(NC, N - n0);
    for (let k0 = 0; k0 < K; k0 += kBlock) {
      const kc = min(kBlock, K - k0);
      const add = accumulate || k0 > 0;
      packB(kc, nc, b + (<usize>(k0 * brs + n0 * bcs) << 2), brs, bcs, pb);
      for (let m0 = 0; m0 < M; m0 += MC) {
        const mc = min(MC, M - m0);
        packA(mc, kc, a + (<usize>(m0 * ars + k0 * acs) << 2), ars, acs, pa);
        for (let j = 0; j < nc; j += NR) {
          const bp = pb + (<usize>(j * kc) << 2);
          const cols = min(NR, nc - j);
          for (let i = 0; i < mc; i += MR) {
            const ap = pa + (<usize>(i * kc) << 2);
            const at = c + (<usize>((m0 + i) * crs + n0 + j) << 2);
            const rows = min(MR, mc - i);
            if (rows == MR && cols == NR) {
              micro4x8(kc, ap, bp, at, <usize>crs << 2, add);
            } else {
              micro4x8(kc, ap, bp, tile, NR << 2, false);
              storeEdge(tile, rows, cols, at, crs, add);
            }
          }
        }
      }
    }
  }
}
