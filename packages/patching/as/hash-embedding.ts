// Sums of one row of each of several tables, and their gradients.

import { addRow, zeroRow } from '../../core/as/lib/rows';

/** y[n] = sum of one row of each source. `sources`: 4 words each: the table, its indices (count i32), its first row, its number of rows. */
export function hashEmbedding(sources: i32, count: i32, width: i32, table: usize, y: usize): void {
  const rowBytes = <usize>width << 2;
  const end = table + (<usize>sources << 4);
  for (let n = 0; n < count; n++) {
    zeroRow(width, y);
    for (let s = table; s < end; s += 16) {
      const row = load<u32>(<usize>load<u32>(s, 4) + (<usize>n << 2)) - load<u32>(s, 8);
      if (row < load<u32>(s, 12)) addRow(width, <usize>load<u32>(s) + <usize>row * rowBytes, y);
    }
    y += rowBytes;
  }
}

/** g[index[n] - start] += dy[n], g (rows, width) zeroed first. */
export function hashEmbeddingGrad(count: i32, width: i32, index: usize, start: i32, rows: i32, dy: usize, g: usize): void {
  const rowBytes = <usize>width << 2;
  memory.fill(g, 0, <usize>rows * rowBytes);
  for (let n = 0; n < count; n++) {
    const row = load<u32>(index + (<usize>n << 2)) - <u32>start;
    if (row < <u32>rows) addRow(width, dy, g + <usize>row * rowBytes);
    dy += rowBytes;
  }
}
