/** Batches of ids for tests of models. */
import { SequenceContext } from '@bytelm/core';
import type { TrainBatch } from '@bytelm/core/train';

/** A text with characters of one, two and three bytes. */
export const PASSAGE = new TextEncoder().encode(
  'It was the best of times, it was the worst of times; 42 naïve foxes — and (a == b) { return 7; } 漢字 followed, twice over, in the spring of hope.',
);

/** Rows of different lengths side by side, right-padded to the longest (plus `extra`), with garbage as padding. */
export function batchOf(rows: readonly Int32Array[], extra = 0): Required<Pick<TrainBatch, 'ids' | 'batch' | 'length'>> & { lengths: Int32Array } {
  const length = Math.max(...rows.map((r) => r.length)) + extra;
  const ids = new Int32Array(rows.length * length).fill(113);
  rows.forEach((r, b) => ids.set(r, b * length));
  return { ids, batch: rows.length, length, lengths: Int32Array.from(rows, (r) => r.length) };
}

/** The same batch to read. The caller frees the context. */
export function padded(rows: readonly Int32Array[], extra = 0): { ids: Int32Array; ctx: SequenceContext; length: number } {
  const { ids, batch, length, lengths } = batchOf(rows, extra);
  return { ids, length, ctx: new SequenceContext(batch, length, { ids, lengths }) };
}

/** Documents one behind the other, as one row. */
export function packed(documents: readonly Int32Array[]): { ids: Int32Array; documentIds: Int32Array; batch: 1; length: number } {
  const ids = Int32Array.from(documents.flatMap((d) => [...d]));
  return { ids, documentIds: Int32Array.from(documents.flatMap((d, n) => [...d].map(() => n))), batch: 1, length: ids.length };
}
