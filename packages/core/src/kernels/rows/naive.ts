import { hostOutput, type Loops } from '../host.js';

/** y[b, l] = x[b, idx[b, l]], zeros where idx is outside 0..M-1. */
export const gatherRowsLoops: Loops<'x' | 'idx', object> = ({ x, idx }) => {
  const [batch, rows, width] = x!.shape;
  const length = idx!.shape[1];
  const y = hostOutput([batch, length, width]);
  for (let i = 0; i < batch * length; i++) {
    const row = idx!.values[i];
    if (row < 0 || row >= rows) continue;
    const from = (Math.floor(i / length) * rows + row) * width;
    y.values.set(x!.values.subarray(from, from + width), i * width);
  }
  return [y];
};

/** y[b, idx[b, l]] += v[b, l]; rows with idx outside 0..rows-1 are dropped. */
export const scatterAddRowsLoops: Loops<'values' | 'idx', { rows: number }> = ({ values, idx }, { rows }) => {
  const [batch, length, width] = values!.shape;
  const y = hostOutput([batch, rows, width]);
  for (let i = 0; i < batch * length; i++) {
    const row = idx!.values[i];
    if (row < 0 || row >= rows) continue;
    const to = (Math.floor(i / length) * rows + row) * width;
    for (let d = 0; d < width; d++) y.values[to + d] += values!.values[i * width + d];
  }
  return [y];
};
