import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadedModel } from './family.js';

/** A named part of a text folder: `splits.json` beside the text says which bytes. */
export function readSplit(folder: string, split: string): Uint8Array {
  const spec = JSON.parse(readFileSync(join(folder, 'splits.json'), 'utf8')) as { file: string; splits: Record<string, { start: number; end: number }> };
  const { start, end } = spec.splits[split]!;
  return readFileSync(join(folder, spec.file)).subarray(start, end);
}

/** (rows * length) ids: BOS and length − 1 bytes a row, rows spread evenly over the data. The peers cut the same windows. */
export function windows({ offset, bos }: Pick<LoadedModel, 'offset' | 'bos'>, data: Uint8Array, rows: number, length: number, skip = 0): Int32Array {
  const stride = Math.floor((data.length - length) / rows);
  const ids = new Int32Array(rows * length);
  for (let r = 0; r < rows; r++) {
    ids[r * length] = bos;
    for (let t = 1; t < length; t++) ids[r * length + t] = data[r * stride + skip + t - 1]! + offset;
  }
  return ids;
}
