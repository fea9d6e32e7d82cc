import { ConfigError } from '@bytelm/core';
import type { TrainBatch } from '@bytelm/core/train';
import { segmentationFromLengths } from '@bytelm/patching';

/** Ids and the patches that cover them: the lengths sum to the number of ids. */
export interface PatchRow {
  ids: Int32Array;
  lengths: number[];
}

/**
 * A row of `patches` patches as a model reads it: its first patch is one id. Where the row begins inside a patch, that one's first id
 * becomes a patch of its own, and the last patch gives way.
 *
 * The ids are inputs and targets in one: inputs are all but the last, so the lengths cover inputs + 1, the next-token convention.
 */
export function nextTokenRow({ ids, lengths }: PatchRow): PatchRow {
  if (lengths[0] === 1) return { ids, lengths };
  const last = lengths[lengths.length - 1]!;
  return { ids: ids.slice(0, ids.length - last), lengths: [1, lengths[0]! - 1, ...lengths.slice(1, -1)] };
}

/** A row of at most `maxBytes` inputs. */
export function cutRow({ ids, lengths }: PatchRow, maxBytes: number): PatchRow {
  if (ids.length <= maxBytes + 1) return { ids, lengths };
  const kept: number[] = [];
  for (let i = 0, left = maxBytes + 1; left > 0; left -= kept[i++]!) kept.push(Math.min(lengths[i]!, left));
  return { ids: ids.slice(0, maxBytes + 1), lengths: kept };
}

export interface PatchBatchOptions {
  /** Inputs of a row at most; longer rows are cut. */
  maxBytes: number;
  /** Make every batch `maxBytes` inputs wide, so that few different shapes reach a GPU. Default false: as wide as its longest row. */
  pad?: boolean | undefined;
}

/**
 * Rows as one batch: padded with id 0 to the longest, which nothing is predicted at. In the published code the last patch of a row takes
 * the padding; here it belongs to no patch, which is the same for every byte that counts.
 *
 * @source BLT's data packing (`bytelatent/data/iterators/packing_iterator.py`); arXiv 2412.09871, section 4.
 */
export function patchBatch(rows: readonly PatchRow[], { maxBytes, pad = false }: PatchBatchOptions): TrainBatch {
  const cut = rows.map((row) => cutRow(nextTokenRow(row), maxBytes));
  if (cut.some((r) => r.ids.length < 2)) throw new ConfigError('[patchBatch] a row of fewer than 2 ids. Hint: rows of at least two patches.');
  const lengths = Int32Array.from(cut, (r) => r.ids.length);
  const length = pad ? maxBytes + 1 : Math.max(...lengths);
  const ids = new Int32Array(cut.length * length);
  cut.forEach((row, b) => ids.set(row.ids, b * length));
  const inputs = lengths.map((n) => n - 1);
  return {
    ids,
    batch: cut.length,
    length,
    lengths,
    segmentation: segmentationFromLengths(cut.map((r) => r.lengths), { length: length - 1, lengths: inputs }),
  };
}
