import { GEMM_SCRATCH_BYTES } from '../../core/as/lib/gemm';
import { attendOne } from './lib/attend';
import { rotateHead } from './lib/rotate';
import { addNorm, gated, project } from './lib/rows';

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
  eps: f32;
  scale: f32;
  hiddenIn: usize;
  residualIn: usize;
  hiddenOut: usize;
  residualOut: usize;
  norm1: usize;
  qkvWeight: usize;
  qkvBias: usize;
  outWeight: usize;
  outBias: usize;
  norm2: usize;
  fc1Weight: usize;
  fc1Bias: usize;
  fc2Weight: usize;
  fc2Bias: usize;
  k: usize;
  v: usize;
  cos: usize;
  sin: usize;
  /** (R) i32 each: cache row, table row of the rotation, slot to write, slots to read. */
  cacheRows: usize;
  positions: usize;
  slots: usize;
  counts: usize;
  work: usize;
}

// @ts-ignore: decorator
@inline
function f(p: usize, i: i32): usize {
  return p + (<usize>i << 2);
}

/** Bytes of `work`. */
export function transformerStepScratch(rows: i32, dModel: i32, kvDim: i32, intermediate: i32, scores: i32): usize {
  return <usize>GEMM_SCRATCH_BYTES + (<usize>(rows * (2 * dModel + max(dModel + 2 * kvDim, 3 * intermediate)) + scores) << 2);
}

/** Rotates, writes the caches and attends: qkv (R, D + 2 kvDim) → y (R, D). */
function attendRows(s: Step, qkv: usize, y: usize, scores: usize): void {
  const kvDim = s.kvHeads * s.headDim;
  const width = s.dModel + 2 * kvDim;
  for (let r = 0; r < s.rows; r++) {
    const q = f(qkv, r * width), k = f(q, s.dModel), v = f(k, kvDim);
    if (s.half) {
      const table = load<i32>(f(s.positions, r)) * s.half;
      for (let h = 0; h < s.heads + s.kvHeads; h++) {
        const head = f(q, h * s.headDim);
        rotateHead(head, head, f(s.cos, table), f(s.sin, table), s.half, s.interleaved != 0, 1);
      }
    }
    const row = load<i32>(f(s.cacheRows, r)) * s.capacity * kvDim;
    const slot = row + load<i32>(f(s.slots, r)) * kvDim;
    memory.copy(f(s.k, slot), k, <usize>kvDim << 2);
    memory.copy(f(s.v, slot), v, <usize>kvDim << 2);
    attendOne(f(y, r * s.dModel), q, f(s.k, row), f(s.v, row), load<i32>(f(s.counts, r)), s.heads, s.kvHeads, s.headDim, s.headDim, s.scale, scores);
  }
}

/** One decoding step of a whole pre-norm block, the caches changed in place. */
export function transformerStep(block: usize): void {
  const s = changetype<Step>(block);
  const D = s.dModel, F = s.intermediate;
  const kvDim = s.kvHeads * s.headDim;
  const gemmScratch = s.work;
  const normed = gemmScratch + <usize>GEMM_SCRATCH_BYTES;
  const mixed = f(normed, s.rows * D);
  const wide = f(mixed, s.rows * D);
  const scores = f(wide, s.rows * max(D + 2 * kvDim, 3 * F));
  addNorm(s.rows, D, s.hiddenIn, s.residualIn, s.norm1, s.eps, s.residualOut, normed);
  project(s.rows, D + 2 * kvDim, D, s.qkvWeight, normed, s.qkvBias, wide, gemmScratch);
  attendRows(s, wide, mixed, scores);
  project(s.rows, D, D, s.outWeight, mixed, s.outBias, s.hiddenOut, gemmScratch);
  if (F == 0) return;
  addNorm(s.rows, D, s.hiddenOut, s.residualOut, s.norm2, s.eps, s.residualOut, normed);
  const product = f(wide, s.rows * 2 * F);
  project(s.rows, 2 * F, D, s.fc1Weight, normed, s.fc1Bias, wide, gemmScratch);
  gated(s.rows, F, wide, s.gateFirst != 0, product);
  project(s.rows, D, F, s.fc2Weight, product, s.fc2Bias, s.hiddenOut, gemmScratch);
}
