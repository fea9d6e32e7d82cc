import { hostOutput, type HostArray } from '@bytelm/core';
import { tableName, type HashEmbeddingAttrs, type HashEmbeddingGradAttrs } from './attrs.js';

type Inputs = Record<string, HostArray | undefined>;

/** y[n] = Σ over sources of their row for position n. */
export function hashEmbeddingLoops(inputs: Inputs, { sources }: HashEmbeddingAttrs): HostArray[] {
  const count = inputs.ids!.shape[0]!;
  const width = inputs[tableName(0)]!.shape[1]!;
  const y = hostOutput([count, width]);
  sources.forEach((source, s) => {
    const table = inputs[tableName(s)]!;
    eachRow(inputs, source.table, source.start, table.shape[0]!, (n, row) => {
      const [to, from] = [n * width, row * width];
      for (let d = 0; d < width; d++) y.values[to + d]! += table.values[from + d]!;
    });
  });
  return [y];
}

/** For each source the gradient of its rows: a scatter-add of dy. */
export function hashEmbeddingGradLoops(inputs: Inputs, { sources }: HashEmbeddingGradAttrs): HostArray[] {
  const { shape, values: dy } = inputs.dy!;
  const width = shape[1]!;
  return sources.map(({ table, start, rows }) => {
    const g = hostOutput([rows, width]);
    eachRow(inputs, table, start, rows, (n, row) => {
      const [from, to] = [n * width, row * width];
      for (let d = 0; d < width; d++) g.values[to + d]! += dy[from + d]!;
    });
    return g;
  });
}

function eachRow({ ids, buckets }: Inputs, table: number, start: number, rows: number, visit: (n: number, row: number) => void): void {
  const count = ids!.shape[0]!;
  const index = table < 0 ? ids!.values : buckets!.values.subarray(table * count, (table + 1) * count);
  for (let n = 0; n < count; n++) {
    const row = index[n]! - start;
    if (row >= 0 && row < rows) visit(n, row);
  }
}
