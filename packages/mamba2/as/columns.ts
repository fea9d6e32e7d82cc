import { copyRow } from '../../core/as/lib/rows';

/** Copies `rows` rows of n floats between tables whose rows are `fromStride` and `toStride` floats apart. */
export function copyColumns(rows: i32, n: i32, from: usize, fromStride: i32, to: usize, toStride: i32): void {
  for (let r = 0; r < rows; r++) {
    copyRow(n, from, to);
    from += <usize>fromStride << 2;
    to += <usize>toStride << 2;
  }
}
