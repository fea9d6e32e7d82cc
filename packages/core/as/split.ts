import { copyRow } from './lib/rows';

/** part[r, :] = x[r, offset : offset + size], all sizes in floats. */
export function takeColumns(rows: i32, width: i32, offset: i32, size: i32, x: usize, part: usize): void {
  let from = x + ((<usize>offset) << 2);
  for (let r = 0; r < rows; r++) {
    copyRow(size, from, part);
    from += (<usize>width) << 2;
    part += (<usize>size) << 2;
  }
}

/** x[r, offset : offset + size] = part[r, :]. */
export function putColumns(rows: i32, width: i32, offset: i32, size: i32, part: usize, x: usize): void {
  let to = x + ((<usize>offset) << 2);
  for (let r = 0; r < rows; r++) {
    copyRow(size, part, to);
    part += (<usize>size) << 2;
    to += (<usize>width) << 2;
  }
}
