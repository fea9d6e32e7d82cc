import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const BOS = 254;

/** A named part of a text folder: `splits.json` beside the text says which bytes. */
export function readSplit(folder: string, split: string): Uint8Array {
  const spec = JSON.parse(readFileSync(join(folder, 'splits.json'), 'utf8')) as { file: string; splits: Record<string, { start: number; end: number }> };
  const { start, end } = spec.splits[split]!;
  return readFileSync(join(folder, spec.file)).subarray(start, end);
}

/** (rows * length) ids: BOS and length − 1 bytes a row, rows spread evenly over the data. The peers cut the same windows. */
export function windows(data: Uint8Array, rows: number, length: number, skip = 0): Int32Array {
  const stride = Math.floor((data.length - length) / rows);
  const ids = new Int32Array(rows * length);
  for (let r = 0; r < rows; r++) {
    ids[r * length] = BOS;
    ids.set(data.subarray(r * stride + skip, r * stride + skip + length - 1), r * length + 1);
  }
  return ids;
}
