import { at as f } from '../../core/as/lib/elementwise';
import { GEMM_SCRATCH_BYTES } from '../../core/as/lib/gemm';
import { lineAt, lines } from '../../core/as/lib/lines';
import { swiglu } from '../../core/as/swiglu';
import { attendCache } from './lib/attend-cache';
import { rotateHead } from './lib/rotate';
import { addNorm, addTo, normRow, projectStored } from './lib/rows';

/** One call, as `src/kernels/transformer-step/wasm.ts` lays it out: 32-bit words in this order, pointers in bytes, 0 = not there. */
// @ts-ignore: decorator
@unmanaged
class Step {
  rows: i32;
  dModel: i32;
  heads: i32;
  kvHeads: i32;
  headDim: i32;
  /** Rotary pairs; 0: none. */
  half: i32;
  interleaved: i32;
  capacity: i32;
  /** Width of the MLP; 0: none. */
  intermediate: i32;
  gateFirst: i32;
  /** Norms of the branches' outputs instead of their inputs. */
  postNorm: i32;
  /** Queries and keys are normed head by head instead of all heads together. */
  normPerHead: i32;
  /** Matrices hold bf16, two to a word. */
  packed: i32;
  eps: f32;
  scale: f32;
  hiddenIn: usize;
  residualIn: usize;
  hiddenOut: usize;
  residualOut: usize;
  norm1: usize;
  /** Queries, keys and values; of queries alone where there are the others. */
  qWeight: usize;
  qBias: usize;
  kWeight: usize;
  kBias: usize;
  vWeight: usize;
  vBias: usize;
  qNorm: usize;
  kNorm: usize;
  outWeight: usize;
  outBias: usize;
  norm2: usize;
  /** Gate and value; the gate alone where there is the other. */
  gateWeight: usize;
  gateBias: usize;
  upWeight: usize;
  upBias: usize;
  downWeight: usize;
  downBias: usize;
  k: usize;
  v: usize;
  cos: usize;
  sin: usize;
  /** (R) i32 each: cache row, table row of the rotation, slot to write, first slot to read, slots to read. */
  cacheRows: usize;
  positions: usize;
  slots: usize;
  starts: usize;
  counts: usize;
  work: usize;
}

// @ts-ignore: decorator
@inline
function at(list: usize, r: i32): i32 {
  return load<i32>(f(list, r));
}

/** Floats of the widest intermediate row: projected queries, keys and values, or the MLP's. */
function wideOf(qDim: i32, kvDim: i32, intermediate: i32): i32 {
  return max(qDim + 2 * kvDim, 3 * intermediate);
}

/** Bytes of `work`. */
export function transformerStepScratch(rows: i32, dModel: i32, qDim: i32, kvDim: i32, intermediate: i32, scores: i32): usize {
  return <usize>GEMM_SCRATCH_BYTES + (<usize>(rows * (dModel + qDim + wideOf(qDim, kvDim, intermediate)) + scores + 5 * 16) << 2);
}

function normHeads(s: Step, x: usize, heads: i32, weight: usize): void {
  if (!s.normPerHead) return normRow(heads * s.headDim, x, weight, s.eps);
  for (let h = 0; h < heads; h++) normRow(s.headDim, f(x, h * s.headDim), weight, s.eps);
}

/** Norms, rotates, writes the caches and attends: qkv (R, qDim + 2 kvDim) → y (R, qDim). */
function attendRows(s: Step, qkv: usize, y: usize, scores: usize): void {
  const qDim = s.heads * s.headDim, kvDim = s.kvHeads * s.headDim;
  const width = qDim + 2 * kvDim;
  for (let r = 0; r < s.rows; r++) {
    const q = f(qkv, r * width), k = f(q, qDim), v = f(k, kvDim);
    if (s.qNorm) {
      normHeads(s, q, s.heads, s.qNorm);
      normHeads(s, k, s.kvHeads, s.kNorm);
    }
    if (s.half) {
      const table = at(s.positions, r) * s.half;
      for (let h = 0; h < s.heads + s.kvHeads; h++) {
        const head = f(q, h * s.headDim);
        rotateHead(head, head, f(s.cos, table), f(s.sin, table), s.half, s.interleaved != 0, 1);
      }
    }
    const row = at(s.cacheRows, r) * s.capacity * kvDim;
    const slot = row + at(s.slots, r) * kvDim;
    memory.copy(f(s.k, slot), k, <usize>kvDim << 2);
    memory.copy(f(s.v, slot), v, <usize>kvDim << 2);
    attendCache(f(y, r * qDim), q, f(s.k, row), f(s.v, row), at(s.starts, r), at(s.counts, r), s.capacity, s.heads, s.kvHeads, s.headDim, s.headDim, s.scale, scores);
  }
}

/** Adds a branch's input to the stream; what the branch reads lies in `normed` then. */
function enter(s: Step, hidden: usize, residual: usize, norm: usize, normed: usize): usize {
  if (s.postNorm) {
    addTo(s.rows * s.dModel, hidden, residual, s.residualOut);
    return s.residualOut;
  }
  addNorm(s.rows, s.dModel, hidden, residual, norm, s.eps, s.residualOut, normed);
  return normed;
}

function leave(s: Step, norm: usize): void {
  if (!s.postNorm) return;
  for (let r = 0; r < s.rows; r++) normRow(s.dModel, f(s.hiddenOut, r * s.dModel), norm, s.eps);
}

/** One decoding step of a whole block, the caches changed in place. */
export function transformerStep(block: usize): void {
  const s = changetype<Step>(block);
  const R = s.rows, D = s.dModel, F = s.intermediate;
  const qDim = s.heads * s.headDim, kvDim = s.kvHeads * s.headDim;
  const width = qDim + 2 * kvDim;
  const packed = s.packed != 0;
  const gemmScratch = lineAt(s.work);
  const normed = gemmScratch + <usize>GEMM_SCRATCH_BYTES;
  const mixed = f(normed, lines(R * D));
  const wide = f(mixed, lines(R * qDim));
  const scores = f(wide, lines(R * wideOf(qDim, kvDim, F)));
  const x = enter(s, s.hiddenIn, s.residualIn, s.norm1, normed);
  projectStored(packed, R, s.kWeight ? qDim : width, D, x, s.qWeight, s.qBias, wide, width, gemmScratch);
  if (s.kWeight) {
    projectStored(packed, R, kvDim, D, x, s.kWeight, s.kBias, f(wide, qDim), width, gemmScratch);
    projectStored(packed, R, kvDim, D, x, s.vWeight, s.vBias, f(wide, qDim + kvDim), width, gemmScratch);
  }
  attendRows(s, wide, mixed, scores);
  projectStored(packed, R, D, qDim, mixed, s.outWeight, s.outBias, s.hiddenOut, D, gemmScratch);
  leave(s, s.norm1);
  if (F == 0) return;
  const z = enter(s, s.hiddenOut, s.residualOut, s.norm2, normed);
  const product = f(wide, R * 2 * F);
  projectStored(packed, R, s.upWeight ? F : 2 * F, D, z, s.gateWeight, s.gateBias, wide, 2 * F, gemmScratch);
  if (s.upWeight) projectStored(packed, R, F, D, z, s.upWeight, s.upBias, f(wide, F), 2 * F, gemmScratch);
  swiglu(R, F, 2 * F, s.gateFirst ? wide : f(wide, F), s.gateFirst ? f(wide, F) : wide, product);
  projectStored(packed, R, D, F, product, s.downWeight, s.downBias, s.hiddenOut, D, gemmScratch);
  leave(s, s.norm2);
}
