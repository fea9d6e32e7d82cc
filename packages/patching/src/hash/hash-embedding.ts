import { checkShape, type Dims } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { tableName, type RowSource } from '../kernels/hash-embedding/attrs.js';
import { hashEmbeddingOp } from '../kernels/hash-embedding/op.js';

export interface HashEmbeddingTables {
  /** (V, D) byte embedding. */
  bytes: tf.Tensor;
  /** Each (rows, D), or the pieces of a large one in order of their rows. */
  tables: readonly (tf.Tensor | readonly tf.Tensor[])[];
}

/**
 * Byte embedding plus hash n-gram embeddings in one pass: `y[b, l] = bytes[ids[b, l]] + Σ_t tables[t][buckets[t, b, l]]`, a plain sum.
 * An index outside its table adds nothing.
 *
 * @param ids (B, L) int32. @param buckets (T, B, L) int32, from `hashNgramIds`.
 * @returns (B, L, D) float32, differentiable by every table: a scatter-add, in one fixed order on every backend.
 * @throws ShapeError
 * @source Byte Latent Transformer (arXiv 2412.09871), section 3.2.1, without its normalisation, as the published models do.
 */
export function hashEmbedding(ids: tf.Tensor, buckets: tf.Tensor, { bytes, tables }: HashEmbeddingTables): tf.Tensor3D {
  const where = 'hashEmbedding';
  const dims: Dims = { T: tables.length };
  checkShape(where, ids, 'ids', '(B, L)', dims, 'int32');
  checkShape(where, buckets, 'buckets', '(T, B, L)', dims, 'int32');
  checkShape(where, bytes, 'bytes', '(V, D)', dims, 'float32');
  const sources: RowSource[] = [{ table: -1, start: 0 }];
  const inputs: Record<string, tf.Tensor> = { [tableName(0)]: bytes };
  tables.forEach((table, t) => {
    let start = 0;
    for (const piece of [table].flat()) {
      checkShape(where, piece, `tables[${t}]`, '(rows, D)', { D: dims.D! }, 'float32');
      inputs[tableName(sources.length)] = piece;
      sources.push({ table: t, start });
      start += piece.shape[0]!;
    }
  });
  const [B, L, T] = [dims.B!, dims.L!, tables.length];
  return tf.tidy(() => {
    const flat = { ids: tf.reshape(ids, [B * L]), buckets: tf.reshape(buckets, [T, B * L]) };
    const [y] = hashEmbeddingOp(sources.length)({ ...flat, ...inputs }, { sources });
    return tf.reshape(y!, [B, L, dims.D!]);
  });
}
