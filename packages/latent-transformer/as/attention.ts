import { at as f } from '../../core/as/lib/elementwise';
import { gemm, GEMM_SCRATCH_BYTES } from '../../core/as/lib/gemm';
import { exp1, exp4, hmax4, hsum4, log1 } from '../../core/as/lib/vec';
import { fillMask, FULL, HIDDEN, Mask, maskBytes, NONE, seen4, TILE, visibility } from './lib/mask';

/** Bytes of scratch for `attentionForward`. */
export function attentionScratch(queries: i32, keys: i32, valueDim: i32): usize {
  return <usize>GEMM_SCRATCH_BYTES + (<usize>(TILE * (TILE + valueDim + 2)) << 2) + maskBytes(queries, keys) + 64;
}

/** One row of scores: scaled and masked in place; returns the largest. */
// @ts-ignore: decorator
@inline
function maskRow(s: usize, columns: i32, scale: f32, mask: Mask, partial: bool, i: i32, j0: i32): f32 {
  const scale4 = f32x4.splat(scale);
  let top = f32x4.splat(HIDDEN);
  for (let j = 0; j < columns; j += 4) {
    let x = f32x4.mul(v128.load(f(s, j)), scale4);
    if (partial) x = v128.bitselect(x, f32x4.splat(HIDDEN), seen4(mask, i, j0 + j));
    v128.store(f(s, j), x);
    top = f32x4.max(top, x);
  }
  return hmax4(top);
}

/** Online softmax of one tile of scores: makes them weights, and moves `acc`, `m`, `l` of each row to the new maximum. */
function softmaxTile(
  s: usize, rows: i32, columns: i32, scale: f32, mask: Mask, partial: bool, i0: i32, j0: i32,
  m: usize, l: usize, acc: usize, width: i32,
): void {
  for (let i = 0; i < rows; i++) {
    const row = f(s, i * TILE);
    const before = load<f32>(f(m, i));
    const top = max(before, maskRow(row, columns, scale, mask, partial, i0 + i, j0));
    if (top <= HIDDEN) {
      // Nothing seen so far.
      memory.fill(row, 0, <usize>columns << 2);
      continue;
    }
    const top4 = f32x4.splat(top);
    let sum = f32x4.splat(0);
    let j = 0;
    do {
      const p = exp4(f32x4.sub(v128.load(f(row, j)), top4));
      v128.store(f(row, j), p);
      sum = f32x4.add(sum, p);
      j += 4;
    } while (j < columns);
    const shrink = exp1(before - top);
    store<f32>(f(l, i), load<f32>(f(l, i)) * shrink + hsum4(sum));
    if (top != before) {
      store<f32>(f(m, i), top);
      scaleRow(f(acc, i * width), width, shrink);
    }
  }
}

// @ts-ignore: decorator
@inline
function scaleRow(x: usize, n: i32, a: f32): void {
  const a4 = f32x4.splat(a);
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(f(x, i), f32x4.mul(v128.load(f(x, i)), a4));
  for (; i < n; i++) store<f32>(f(x, i), load<f32>(f(x, i)) * a);
}

/**
 * y (B, Tq, H, Dv) and lse (B, H, Tq) from q (B, Tq, H, D), k (B, Tk, Hkv, D), v (B, Tk, Hkv, Dv), in tiles of 64 x 64 scores.
 *
 * @param querySegments … keyPositions i32 arrays, 0 = not given
 */
export function attentionForward(
  y: usize, lse: usize, q: usize, k: usize, v: usize,
  batch: i32, queries: i32, keys: i32, heads: i32, kvHeads: i32, dim: i32, valueDim: i32,
  querySegments: usize, keySegments: usize, keyLengths: usize, queryPositions: usize, keyPositions: usize,
  scale: f32, causal: bool, offset: i32, windowLeft: i32, segmentsUpTo: bool, scratch: usize,
): void {
  const scores = scratch + <usize>GEMM_SCRATCH_BYTES;
  const acc = f(scores, TILE * TILE);
  const m = f(acc, TILE * valueDim);
  const l = f(m, TILE);
  const maskSpace = (f(l, TILE) + 15) & ~15;
  const qStride = heads * dim, kStride = kvHeads * dim, vStride = kvHeads * valueDim, yStride = heads * valueDim;
  const group = heads / kvHeads;
  for (let b = 0; b < batch; b++) {
    const mask = fillMask(
      maskSpace, queries, keys,
      queryPositions ? f(queryPositions, b * queries) : 0, keyPositions ? f(keyPositions, b * keys) : 0,
      querySegments ? f(querySegments, b * queries) : 0, keySegments ? f(keySegments, b * keys) : 0,
      keyLengths ? load<i32>(f(keyLengths, b)) : keys, causal, offset, windowLeft, segmentsUpTo,
    );
    for (let h = 0; h < heads; h++) {
      const qh = f(q, b * queries * qStride + h * dim);
      const kh = f(k, b * keys * kStride + (h / group) * dim);
      const vh = f(v, b * keys * vStride + (h / group) * valueDim);
      const yh = f(y, b * queries * yStride + h * valueDim);
      for (let i0 = 0; i0 < queries; i0 += TILE) {
        const rows = min(TILE, queries - i0);
        memory.fill(acc, 0, <usize>(TILE * valueDim) << 2);
        memory.fill(l, 0, TILE << 2);
        for (let i = 0; i < TILE; i++) store<f32>(f(m, i), HIDDEN);
        for (let j0 = 0; j0 < keys; j0 += TILE) {
          const seen = visibility(mask, i0 / TILE, j0 / TILE);
          if (seen == NONE) continue;
          const columns = min(TILE, keys - j0);
          gemm(rows, columns, dim, f(qh, i0 * qStride), qStride, 1, f(kh, j0 * kStride), 1, kStride, scores, TILE, scratch, false);
          softmaxTile(scores, rows, (columns + 3) & ~3, scale, mask, seen != FULL, i0, j0, m, l, acc, valueDim);
          gemm(rows, valueDim, columns, scores, TILE, 1, f(vh, j0 * vStride), vStride, 1, acc, valueDim, scratch, true);
        }
        for (let i = 0; i < rows; i++) {
          const total = load<f32>(f(l, i));
          const some = total > 0;
          const from = f(acc, i * valueDim);
          if (some) scaleRow(from, valueDim, <f32>1 / total);
          memory.copy(f(yh, (i0 + i) * yStride), from, <usize>valueDim << 2);
          store<f32>(f(lse, (b * heads + h) * queries + i0 + i), some ? load<f32>(f(m, i)) + log1(total) : <f32>0);
        }
      }
    }
  }
}
