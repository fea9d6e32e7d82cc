import { DataError } from '../errors.js';
import type { TrainBatch } from './types.js';

export interface PackOptions {
  /** Ids of each row. For training on L targets: L+1. */
  length: number;
  /** Put before each document. */
  bos?: number | undefined;
  /** Put behind each document. */
  eos?: number | undefined;
  /** Fills the end of the last row. Default 0. */
  pad?: number | undefined;
}

/**
 * Packs documents one after the other into rows without waste: a document that does not fit goes on in the next row. `documentIds` says
 * where one ends (nothing flows between different ids); they count up through the whole batch. Only the last row can end in padding:
 * `lengths` says how many ids are real, and padding continues the last document's id.
 *
 * @throws DataError when there is nothing to pack.
 * @example
 * const { ids, documentIds } = packDocuments([bytesA, bytesB], { length: 1025, bos: 254 });
 */
export function packDocuments(documents: readonly ArrayLike<number>[], options: PackOptions): TrainBatch & { documentIds: Int32Array; lengths: Int32Array } {
  const { length, bos, eos, pad = 0 } = options;
  if (!Number.isInteger(length) || length < 1) throw new DataError(`[packDocuments] length: expected a whole number from 1, got ${length}.`);
  const extra = (bos === undefined ? 0 : 1) + (eos === undefined ? 0 : 1);
  const total = documents.reduce((n, d) => n + d.length + extra, 0);
  if (!total) throw new DataError(`[packDocuments] expected documents with content, got ${documents.length} empty ones. Hint: leave empty documents out, or set \`bos\`.`);
  const batch = Math.ceil(total / length);
  const ids = new Int32Array(batch * length).fill(pad);
  const documentIds = new Int32Array(batch * length);
  let at = 0;
  documents.forEach((document, d) => {
    const start = at;
    if (bos !== undefined) ids[at++] = bos;
    for (let i = 0; i < document.length; i++) ids[at++] = document[i]!;
    if (eos !== undefined) ids[at++] = eos;
    documentIds.fill(d, start);
  });
  const lengths = new Int32Array(batch).fill(length);
  lengths[batch - 1] = total - (batch - 1) * length;
  return { ids, batch, length, lengths, documentIds };
}
