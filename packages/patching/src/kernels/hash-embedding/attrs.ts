/** Where the index of a table's row comes from, and which rows a piece of a large table holds. */
export interface RowSource {
  /** Row of `buckets`; −1 for `ids`. */
  table: number;
  /** First row of the table that this piece holds; indices outside the piece add nothing. */
  start: number;
}

export interface HashEmbeddingAttrs {
  sources: readonly RowSource[];
}

export interface HashEmbeddingGradAttrs {
  sources: readonly (RowSource & { rows: number })[];
}

/** Inputs of the op besides its tables `t0`, `t1`, …. */
export type IndexInput = 'ids' | 'buckets';
export type GradInput = IndexInput | 'dy';

/** Name of the table input of a source. */
export const tableName = (source: number): string => `t${source}`;
