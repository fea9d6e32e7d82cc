import { at } from './elementwise';
import { gemm, GEMM_SCRATCH_BYTES } from './gemm';
import { gemvRows } from './gemv';
import { gemvRowsBf16, splitPairs } from './gemv-bf16';
import { copyRow } from './rows';

/** Up to so many rows a product without packing beats the packed one (measured on two CPUs: the border lies between 4 and 12). */
export const FEW_ROWS: i32 = 6;

/** Bytes of scratch that `project` needs for so many rows. */
// @ts-ignore: decorator
@inline
export function projectScratch(rows: i32): i32 {
  return rows > FEW_ROWS ? GEMM_SCRATCH_BYTES : 0;
}

/** y (rows, outs) = x (rows, ins) Wᵀ (+ bias, 0 = none); rows of x and W are adjacent, those of y `stride` floats apart. */
export function project(rows: i32, outs: i32, ins: i32, x: usize, w: usize, bias: usize, y: usize, stride: i32, scratch: usize): void {
  if (rows <= FEW_ROWS) {
    gemvRows(rows, outs, ins, w, ins, x, ins, bias, y, stride, false);
    return;
  }
  if (bias) for (let r = 0; r < rows; r++) copyRow(outs, bias, at(y, r * stride));
  gemm(rows, outs, ins, x, ins, 1, w, 1, ins, y, stride, scratch, bias != 0);
}

/** The same with a weight in bf16, two values to a word: so many rows at a time as `scratch`, of `room` floats, holds of x. At least one fits. */
export function projectBf16(rows: i32, outs: i32, ins: i32, x: usize, words: usize, bias: usize, y: usize, stride: i32, scratch: usize, room: i32): void {
  const most = ins ? room / ins : rows;
  for (let first = 0; first < rows; first += most) {
    const n = min(most, rows - first);
    for (let r = 0; r < n; r++) splitPairs(ins, at(x, (first + r) * ins), at(scratch, r * ins));
    gemvRowsBf16(n, outs, ins, words, scratch, ins, bias, at(y, first * stride), stride);
  }
}
