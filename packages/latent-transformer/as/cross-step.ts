import { at as f } from '../../core/as/lib/elementwise';
import { GEMM_SCRATCH_BYTES } from '../../core/as/lib/gemm';
import { lineAt, lines } from '../../core/as/lib/lines';
import { attendCache } from './lib/attend-cache';
import { addNorm, addTo, normRow, projectStored } from './lib/rows';

/** Both calls as `src/kernels/cross-step/wasm.ts` lays them out: 32-bit words in this order, pointers in bytes, 0 = not there. */
// @ts-ignore: decorator
@unmanaged
class KeysValues {
  rows: i32;
  dModel: i32;
  /** Floats between rows of x. */
  stride: i32;
  /** Matrices hold bf16, two to a word. */
  packed: i32;
  eps: f32;
  x: usize;
  norm: usize;
  keyWeight: usize;
  valueWeight: usize;
  k: usize;
  v: usize;
  /** (R) i32 slot of each row, counted through all rows of the cache. */
  targets: usize;
  work: usize;
}

// @ts-ignore: decorator
@unmanaged
class Attend {
  rows: i32;
  dModel: i32;
  heads: i32;
  capacity: i32;
  packed: i32;
  eps: f32;
  scale: f32;
  hiddenIn: usize;
  residualIn: usize;
  hiddenOut: usize;
  residualOut: usize;
  norm: usize;
  queryWeight: usize;
  outWeight: usize;
  k: usize;
  v: usize;
  /** (R) i32 each: row of the cache, filled slots from its first one on. */
  cacheRows: usize;
  counts: usize;
  work: usize;
}

/** Bytes of `work`. @param scores heads · the largest number of filled slots */
export function crossStepScratch(rows: i32, dModel: i32, scores: i32): usize {
  return <usize>GEMM_SCRATCH_BYTES + (<usize>(2 * rows * dModel + scores + 4 * 16) << 2);
}

/** Keys and values of normed rows, put into their slots. */
export function crossKeysValues(block: usize): void {
  const c = changetype<KeysValues>(block);
  const D = c.dModel;
  const work = lineAt(c.work);
  const normed = work + <usize>GEMM_SCRATCH_BYTES;
  const made = f(normed, lines(c.rows * D));
  for (let r = 0; r < c.rows; r++) {
    memory.copy(f(normed, r * D), f(c.x, r * c.stride), <usize>D << 2);
    normRow(D, f(normed, r * D), c.norm, c.eps);
  }
  for (let values = 0; values < 2; values++) {
    const cache = values ? c.v : c.k;
    projectStored(c.packed != 0, c.rows, D, D, normed, values ? c.valueWeight : c.keyWeight, 0, made, D, work);
    for (let r = 0; r < c.rows; r++) memory.copy(f(cache, load<i32>(f(c.targets, r)) * D), f(made, r * D), <usize>D << 2);
  }
}

/** residual' = hidden + residual; hidden' = residual' + Wo attention(Wq norm(residual')). */
export function crossAttend(block: usize): void {
  const c = changetype<Attend>(block);
  const D = c.dModel;
  const dim = D / c.heads;
  const work = lineAt(c.work);
  const normed = work + <usize>GEMM_SCRATCH_BYTES;
  const queries = f(normed, lines(c.rows * D));
  const scores = f(queries, lines(c.rows * D));
  addNorm(c.rows, D, c.hiddenIn, c.residualIn, c.norm, c.eps, c.residualOut, normed);
  projectStored(c.packed != 0, c.rows, D, D, normed, c.queryWeight, 0, queries, D, work);
  for (let r = 0; r < c.rows; r++) {
    const at = load<i32>(f(c.cacheRows, r)) * c.capacity * D;
    attendCache(f(normed, r * D), f(queries, r * D), f(c.k, at), f(c.v, at), 0, load<i32>(f(c.counts, r)), c.capacity, c.heads, c.heads, dim, dim, c.scale, scores);
  }
  projectStored(c.packed != 0, c.rows, D, D, normed, c.outWeight, 0, c.hiddenOut, D, work);
  addTo(c.rows * D, c.hiddenOut, c.residualOut, c.hiddenOut);
}
