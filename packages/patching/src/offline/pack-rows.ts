import { ConfigError } from '@bytelm/core';
import type { PatchedDocument } from './open-patches.js';

export interface PackRowsOptions {
  /** Patches of a row: every row takes the main network the same number of steps. */
  patches: number;
  /** Ids of a row at most, the last target included: longer rows are cut. Default: no limit. */
  maxIds?: number | undefined;
}

/** A row for training: `ids[0..n−2]` are read, `ids[1..n−1]` predicted. */
export interface PatchRow {
  ids: Int32Array;
  /** Of which document each id is, counting up. */
  documentIds: Int32Array;
  /** In the next-token convention: they sum to the number of ids and begin with 1, for `segmentationFromLengths`. */
  lengths: number[];
}

/**
 * Documents one after the other in rows of equally many patches (blt.md 11): a row that begins in the middle of a document gets its first id
 * as a patch of its own, and gives up its last patch for it. What is left at the end makes a shorter row.
 *
 * @throws ConfigError
 */
export async function* packPatchRows(documents: AsyncIterable<Pick<PatchedDocument, 'ids' | 'boundaryMask'>> | Iterable<Pick<PatchedDocument, 'ids' | 'boundaryMask'>>, options: PackRowsOptions): AsyncGenerator<PatchRow> {
  const { patches, maxIds = Infinity } = options;
  if (!(Number.isInteger(patches) && patches >= 2)) throw new ConfigError(`[packPatchRows] patches: expected a whole number from 2, got ${patches}.`);
  if (!(maxIds >= 2)) throw new ConfigError(`[packPatchRows] maxIds: expected at least 2, got ${maxIds}.`);
  let row = newRow();
  let document = 0;
  for await (const { ids, boundaryMask } of documents) {
    for (let start = 0, t = 0; t < ids.length; t++) {
      if (!boundaryMask[t] && t + 1 < ids.length) continue;
      for (let i = start; i <= t; i++) {
        row.ids.push(ids[i]!);
        row.documents.push(document);
      }
      row.lengths.push(t + 1 - start);
      start = t + 1;
      if (row.lengths.length < patches) continue;
      yield finish(row, maxIds);
      row = newRow();
    }
    document++;
  }
  if (row.ids.length > 1) yield finish(row, maxIds, true);
}

interface OpenRow {
  ids: number[];
  documents: number[];
  lengths: number[];
}

const newRow = (): OpenRow => ({ ids: [], documents: [], lengths: [] });

function finish({ ids, documents, lengths }: OpenRow, maxIds: number, isShort = false): PatchRow {
  let n = ids.length;
  if (lengths[0]! > 1) {
    if (!isShort) n -= lengths.pop()!;
    lengths.splice(0, 1, 1, lengths[0]! - 1);
  }
  if (n > maxIds) {
    n = maxIds;
    for (let sum = 0, j = 0; j < lengths.length; sum += lengths[j++]!) {
      if (sum + lengths[j]! < n) continue;
      lengths[j] = n - sum;
      lengths.length = j + 1;
    }
  }
  return { ids: Int32Array.from(ids.slice(0, n)), documentIds: Int32Array.from(documents.slice(0, n)), lengths };
}
