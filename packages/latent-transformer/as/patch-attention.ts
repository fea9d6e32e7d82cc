import { at as f } from '../../core/as/lib/elementwise';
import { gemvRows, gemvT } from '../../core/as/lib/gemv';
import { axpy, dot } from '../../core/as/lib/vec';
import { attendRing, softmaxRow } from './lib/attend';

/** Sizes and pointers of one call, as `src/kernels/patch-attention/wasm.ts` lays them out: 32-bit words, pointers in bytes. */
// @ts-ignore: decorator
@unmanaged
class Call {
  batch: i32;
  length: i32;
  patches: i32;
  slots: i32;
  heads: i32;
  dim: i32;
  valueDim: i32;
  scale: f32;
  q: usize;
  k: usize;
  v: usize;
  ids: usize;
  y: usize;
  dy: usize;
  dq: usize;
  dk: usize;
  dv: usize;
  /** Floats: scores of the longest list of keys, twice. */
  scores: usize;
}

/** Byte t's patch, −1: none. */
// @ts-ignore: decorator
@inline
function patchOf(c: Call, t: i32): i32 {
  const id = load<i32>(f(c.ids, t));
  return id < c.patches ? id : -1;
}

/** End of the run of bytes of one patch that begins at `t`, before `end`. */
function runEnd(c: Call, t: i32, end: i32): i32 {
  const id = load<i32>(f(c.ids, t));
  do t++;
  while (t < end && load<i32>(f(c.ids, t)) == id);
  return t;
}

/** One query (H, D) against `count` keys (H, D) and values (H, Dv): writes dq, adds to dk and dv. */
function attendGrad(c: Call, q: usize, k: usize, v: usize, dy: usize, dq: usize, dk: usize, dv: usize, count: i32): void {
  const D = c.dim, Dv = c.valueDim;
  const keyRow = c.heads * D, valueRow = c.heads * Dv;
  const p = c.scores, ds = f(p, count);
  for (let h = 0; h < c.heads; h++) {
    const query = f(q, h * D), out = f(dy, h * Dv);
    gemvRows(1, count, D, f(k, h * D), keyRow, query, D, 0, p, count, false);
    softmaxRow(p, count, c.scale);
    gemvRows(1, count, Dv, f(v, h * Dv), valueRow, out, Dv, 0, ds, count, false);
    const mean = dot(count, p, ds);
    for (let j = 0; j < count; j++) {
      const weight = load<f32>(f(p, j));
      const slope = weight * (load<f32>(f(ds, j)) - mean) * c.scale;
      store<f32>(f(ds, j), slope);
      axpy(D, slope, query, f(dk, j * keyRow + h * D));
      axpy(Dv, weight, out, f(dv, j * valueRow + h * Dv));
    }
    gemvT(D, count, f(k, h * D), keyRow, ds, f(dq, h * D), false);
  }
}

/** q (B, L, H, D), k (B, M, S, H, D), v (B, M, S, H, Dv) → y (B, L, H, Dv). */
export function slotAttention(block: usize): void {
  const c = changetype<Call>(block);
  const qRow = c.heads * c.dim, yRow = c.heads * c.valueDim;
  for (let b = 0; b < c.batch; b++)
    for (let t = b * c.length; t < (b + 1) * c.length; t++) {
      const id = patchOf(c, t);
      const at = (b * c.patches + max(id, 0)) * c.slots;
      attendRing(f(c.y, t * yRow), f(c.q, t * qRow), f(c.k, at * qRow), f(c.v, at * yRow), 0, id < 0 ? 0 : c.slots, c.slots, c.heads, c.heads, c.dim, c.valueDim, c.scale, c.scores);
    }
}

export function slotAttentionGrad(block: usize): void {
  const c = changetype<Call>(block);
  const qRow = c.heads * c.dim, yRow = c.heads * c.valueDim;
  const slots = c.batch * c.patches * c.slots;
  memory.fill(c.dk, 0, <usize>(slots * qRow) << 2);
  memory.fill(c.dv, 0, <usize>(slots * yRow) << 2);
  for (let b = 0; b < c.batch; b++)
    for (let t = b * c.length; t < (b + 1) * c.length; t++) {
      const id = patchOf(c, t);
      if (id < 0) {
        memory.fill(f(c.dq, t * qRow), 0, <usize>qRow << 2);
        continue;
      }
      const at = (b * c.patches + id) * c.slots;
      attendGrad(c, f(c.q, t * qRow), f(c.k, at * qRow), f(c.v, at * yRow), f(c.dy, t * yRow), f(c.dq, t * qRow), f(c.dk, at * qRow), f(c.dv, at * yRow), c.slots);
    }
}

/** q (B, M, S, H, D), k (B, L, H, D), v (B, L, H, Dv) → y (B, M, S, H, Dv). */
export function poolAttention(block: usize): void {
  const c = changetype<Call>(block);
  const qRow = c.heads * c.dim, yRow = c.heads * c.valueDim;
  memory.fill(c.y, 0, <usize>(c.batch * c.patches * c.slots * yRow) << 2);
  for (let b = 0; b < c.batch; b++)
    for (let t = b * c.length, end = t + c.length; t < end; ) {
      const next = runEnd(c, t, end), id = patchOf(c, t);
      for (let s = 0; id >= 0 && s < c.slots; s++) {
        const at = (b * c.patches + id) * c.slots + s;
        attendRing(f(c.y, at * yRow), f(c.q, at * qRow), f(c.k, t * qRow), f(c.v, t * yRow), 0, next - t, next - t, c.heads, c.heads, c.dim, c.valueDim, c.scale, c.scores);
      }
      t = next;
    }
}

export function poolAttentionGrad(block: usize): void {
  const c = changetype<Call>(block);
  const qRow = c.heads * c.dim, yRow = c.heads * c.valueDim;
  const bytes = c.batch * c.length;
  memory.fill(c.dq, 0, <usize>(c.batch * c.patches * c.slots * qRow) << 2);
  memory.fill(c.dk, 0, <usize>(bytes * qRow) << 2);
  memory.fill(c.dv, 0, <usize>(bytes * yRow) << 2);
  for (let b = 0; b < c.batch; b++)
    for (let t = b * c.length, end = t + c.length; t < end; ) {
      const next = runEnd(c, t, end), id = patchOf(c, t);
      for (let s = 0; id >= 0 && s < c.slots; s++) {
        const at = (b * c.patches + id) * c.slots + s;
        attendGrad(c, f(c.q, at * qRow), f(c.k, t * qRow), f(c.v, t * yRow), f(c.dy, at * yRow), f(c.dq, at * qRow), f(c.dk, t * qRow), f(c.dv, t * yRow), next - t);
      }
      t = next;
    }
}
