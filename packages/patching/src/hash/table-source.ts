import { withRowSlices, type RowSlice, type TensorSource } from '@bytelm/core/io';
import type { HashNgramEmbedding } from './hash-ngram-embedding.js';
import type { StoredRows } from './host-table.js';

/** Where a checkpoint keeps the tables. */
export interface TableLayout {
  /** Name of the matrix that holds all tables one below the other, (T·V, D): the layout of transformers. */
  fused?: string | undefined;
  /** Otherwise the name of each table. Default: the module's own names. */
  table?: ((t: number) => string) | undefined;
}

/** The rows of each table in the file. */
export function storedTables(embedding: HashNgramEmbedding, { fused, table = embedding.names.table }: TableLayout): StoredRows[] {
  const rows = embedding.config.vocabularySize;
  return Array.from({ length: embedding.numTables }, (_, t) => (fused === undefined ? { name: table(t), first: 0, rows } : { name: fused, first: t * rows, rows }));
}

/**
 * A checkpoint as the module's parameters are named: a fused matrix is cut into tables, and tables into the pieces that the backend needs.
 * Only rows that are asked for are read. For `loadParameters`.
 *
 * @param options.prefix of the module's names in the model that is loaded, with a dot. Default none.
 * @throws CheckpointError when the file lacks a table.
 * @example
 * await loadParameters(model, tableSource(source, embed, { fused: 'model.encoder_hash_tok_embedding.weight' }), { map });
 */
export function tableSource(source: TensorSource, embedding: HashNgramEmbedding, layout: TableLayout & { prefix?: string } = {}): TensorSource {
  const slices = new Map<string, RowSlice>();
  storedTables(embedding, layout).forEach(({ name, first }, t) => {
    let at = first;
    for (const [piece, rows] of embedding.pieces(t)) {
      slices.set(`${layout.prefix ?? ''}${piece}`, { name, first: at, rows });
      at += rows;
    }
  });
  return withRowSlices(source, slices);
}
