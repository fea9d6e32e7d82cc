import { addRow, copyRow, zeroRow } from './lib/rows';

/** Position of the first id outside 0..rows-1, or -1. */
export function firstOutside(n: i32, ids: usize, rows: i32): i32 {
  for (let i = 0; i < n; i++) if (load<u32>(ids + (<usize>i << 2)) >= <u32>rows) return i;
  return -1;
}

/** y[b, l] = x[b, idx[b, l]]; zeros where idx is outside 0..rows-1. */
export function gatherRows(batch: i32, rows: i32, width: i32, length: i32, x: usize, idx: usize, y: usize): void {
  const rowBytes = <usize>width << 2;
  for (let b = 0; b < batch; b++) {
    for (let l = 0; l < length; l++) {
      const row = load<u32>(idx);
      if (row < <u32>rows) copyRow(width, x + <usize>row * rowBytes, y);
      else zeroRow(width, y);
      idx += 4;
      y += rowBytes;
    }
    x += <usize>rows * rowBytes;
  }
}

/** y[b, idx[b, l]] += values[b, l], y zeroed first; values with idx outside 0..rows-1 are dropped. */
export function scatterAddRows(batch: i32, rows: i32, width: i32, length: i32, values: usize, idx: usize, y: usize): void {
  const rowBytes = <usize>width << 2;
  memory.fill(y, 0, <usize>(batch * rows) * rowBytes);
  for (let b = 0; b < batch; b++) {
    for (let l = 0; l < length; l++) {
      const row = load<u32>(idx);
      if (row < <u32>rows) addRow(width, values, y + <usize>row * rowBytes);
      idx += 4;
      values += rowBytes;
    }
    y += <usize>rows * rowBytes;
  }
}
