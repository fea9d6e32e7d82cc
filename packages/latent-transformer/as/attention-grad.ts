import { at as f } from '../../core/as/lib/elementwise';
import { gemm, GEMM_SCRATCH_BYTES } from '../../core/as/lib/gemm';
import { exp4 } from '../../core/as/lib/vec';
import { fillMask, FULL, Mask, maskBytes, NONE, seen4, TILE, visibility } from './lib/mask';

/** Bytes of scratch for `attentionBackward`. */
export function attentionGradScratch(queries: i32, keys: i32): usize {
  return <usize>GEMM_SCRATCH_BYTES + (<usize>(2 * TILE * TILE) << 2) + maskBytes(queries, keys) + 64;
}

/** Scores to weights: p = exp(scale s - lse), 0 where hidden. */
function weightsTile(s: usize, rows: i32, columns: i32, scale: f32, mask: Mask, partial: bool, i0: i32, j0: i32, lse: usize): void {
  const scale4 = f32x4.splat(scale);
  for (let i = 0; i < rows; i++) {
    const row = f(s, i * TILE);
    const lse4 = v128.load32_splat(f(lse, i0 + i));
    let j = 0;
    do {
      let p = exp4(f32x4.sub(f32x4.mul(v128.load(f(row, j)), scale4), lse4));
      if (partial) p = v128.and(p, seen4(mask, i0 + i, j0 + j));
      v128.store(f(row, j), p);
      j += 4;
    } while (j < columns);
  }
}

/** ds = scale p (dp - delta), in place of dp. */
function scoreGradTile(dp: usize, p: usize, rows: i32, columns: i32, scale: f32, delta: usize): void {
  const scale4 = f32x4.splat(scale);
  for (let i = 0; i < rows; i++) {
    const d4 = v128.load32_splat(f(delta, i));
    for (let j = 0; j < columns; j += 4) {
      const at = f(dp, i * TILE + j);
      v128.store(at, f32x4.mul(f32x4.mul(v128.load(f(p, i * TILE + j)), scale4), f32x4.sub(v128.load(at), d4)));
    }
  }
}

/**
 * dq, dk, dv (shaped like q, k, v) from dy (B, Tq, H, Dv), lse and delta (B, H, Tq): five products of 64 x 64 tiles for every tile that
 * is seen at all. Weights are made again from lse.
 */
export function attentionBackward(
  dq: usize, dk: usize, dv: usize, q: usize, k: usize, v: usize, dy: usize, lse: usize, delta: usize,
  batch: i32, queries: i32, keys: i32, heads: i32, kvHeads: i32, dim: i32, valueDim: i32,
  querySegments: usize, keySegments: usize, keyLengths: usize, queryPositions: usize, keyPositions: usize,
  scale: f32, causal: bool, offset: i32, windowLeft: i32, segmentsUpTo: bool, scratch: usize,
): void {
  const p = scratch + <usize>GEMM_SCRATCH_BYTES;
  const ds = f(p, TILE * TILE);
  const maskSpace = (f(ds, TILE * TILE) + 15) & ~15;
  const qStride = heads * dim, kStride = kvHeads * dim, vStride = kvHeads * valueDim, yStride = heads * valueDim;
  const group = heads / kvHeads;
  memory.fill(dq, 0, <usize>(batch * queries * qStride) << 2);
  memory.fill(dk, 0, <usize>(batch * keys * kStride) << 2);
  memory.fill(dv, 0, <usize>(batch * keys * vStride) << 2);
  for (let b = 0; b < batch; b++) {
    const mask = fillMask(
      maskSpace, queries, keys,
      queryPositions ? f(queryPositions, b * queries) : 0, keyPositions ? f(keyPositions, b * keys) : 0,
      querySegments ? f(querySegments, b * queries) : 0, keySegments ? f(keySegments, b * keys) : 0,
      keyLengths ? load<i32>(f(keyLengths, b)) : keys, causal, offset, windowLeft, segmentsUpTo,
    );
    for (let h = 0; h < heads; h++) {
      const qAt = b * queries * qStride + h * dim;
      const kAt = b * keys * kStride + (h / group) * dim;
      const vAt = b * keys * vStride + (h / group) * valueDim;
      const dyh = f(dy, b * queries * yStride + h * valueDim);
      const lseh = f(lse, (b * heads + h) * queries);
      const deltah = f(delta, (b * heads + h) * queries);
      for (let j0 = 0; j0 < keys; j0 += TILE) {
        const columns = min(TILE, keys - j0);
        const kj = f(k, kAt + j0 * kStride), vj = f(v, vAt + j0 * vStride);
        const dkj = f(dk, kAt + j0 * kStride), dvj = f(dv, vAt + j0 * vStride);
        for (let i0 = 0; i0 < queries; i0 += TILE) {
          const seen = visibility(mask, i0 / TILE, j0 / TILE);
          if (seen == NONE) continue;
          const rows = min(TILE, queries - i0);
          const qi = f(q, qAt + i0 * qStride), dyi = f(dyh, i0 * yStride);
          gemm(rows, columns, dim, qi, qStride, 1, kj, 1, kStride, p, TILE, scratch, false);
          weightsTile(p, rows, (columns + 3) & ~3, scale, mask, seen != FULL, i0, j0, lseh);
          gemm(columns, valueDim, rows, p, 1, TILE, dyi, yStride, 1, dvj, vStride, scratch, true);
          gemm(rows, columns, valueDim, dyi, yStride, 1, vj, 1, vStride, ds, TILE, scratch, false);
          scoreGradTile(ds, p, rows, (columns + 3) & ~3, scale, f(deltah, i0));
          gemm(rows, dim, columns, ds, TILE, 1, kj, kStride, 1, f(dq, qAt + i0 * qStride), qStride, scratch, true);
          gemm(columns, dim, rows, ds, 1, TILE, qi, qStride, 1, dkj, kStride, scratch, true);
        }
      }
    }
  }
}
