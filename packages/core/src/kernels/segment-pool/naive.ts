import { hostOutput, type HostArray, type Loops } from '../host.js';

export type PoolMode = 'max' | 'mean' | 'sum' | 'min' | 'first' | 'last';
export interface SegmentPoolAttrs {
  num: number;
  mode: PoolMode;
}

/** Rows of each segment in order: members[b * num + m] = positions in the sequence. */
function members(ids: HostArray, num: number): number[][] {
  const [batch, length] = ids.shape;
  const out: number[][] = Array.from({ length: batch * num }, () => []);
  ids.values.forEach((id: number, i: number) => {
    if (id >= 0 && id < num) out[Math.floor(i / length) * num + id].push(i);
  });
  return out;
}

/** The rows that a result is made of, with their weights. */
function contributions(rows: number[], value: (row: number) => number, mode: PoolMode): { row: number; weight: number }[] {
  if (mode === 'first') rows = rows.slice(0, 1);
  else if (mode === 'last') rows = rows.slice(-1);
  else if (mode === 'max' || mode === 'min') {
    const best = Math[mode](...rows.map(value));
    rows = rows.filter((r) => value(r) === best);
  }
  const weight = mode === 'sum' ? 1 : 1 / rows.length;
  return rows.map((row) => ({ row, weight }));
}

export const segmentPoolLoops: Loops<'x' | 'ids', SegmentPoolAttrs> = ({ x, ids }, { num, mode }) => {
  const [batch, , width] = x!.shape;
  const y = hostOutput([batch, num, width]);
  members(ids!, num).forEach((rows, m) => {
    for (let d = 0; d < width; d++) {
      const value = (r: number) => x!.values[r * width + d];
      let sum = 0;
      for (const { row, weight } of contributions(rows, value, mode)) sum += weight * value(row);
      y.values[m * width + d] = sum;
    }
  });
  return [y];
};

export const segmentPoolGradLoops: Loops<'x' | 'ids' | 'y' | 'dy', SegmentPoolAttrs> = ({ x, ids, dy }, { num, mode }) => {
  const width = x!.shape[2];
  const dx = hostOutput(x!.shape);
  members(ids!, num).forEach((rows, m) => {
    for (let d = 0; d < width; d++) {
      const value = (r: number) => x!.values[r * width + d];
      for (const { row, weight } of contributions(rows, value, mode)) dx.values[row * width + d] += weight * dy!.values[m * width + d];
    }
  });
  return [dx];
};
