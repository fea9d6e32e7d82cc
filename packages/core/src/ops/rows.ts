import type * as tf from '@tensorflow/tfjs-core';
import { checkShape, type Dims } from '../check-shape.js';
import { ShapeError } from '../errors.js';
import { embeddingOp } from '../kernels/rows/embedding.js';
import { gatherRowsOp } from '../kernels/rows/op.js';

/**
 * Rows of each sequence by index: `y[b, l] = x[b, idx[b, l]]`, e.g. a chunk's vector for each of its bytes.
 *
 * @param x (B, M, D) float32. @param idx (B, L) int32; -1 (and anything outside 0..M-1) gives zeros.
 * @returns (B, L, D). The gradient of `x` is a scatter-add.
 * @throws ShapeError
 */
export function gatherRows(x: tf.Tensor, idx: tf.Tensor): tf.Tensor3D {
  const dims: Dims = {};
  checkShape('gatherRows', x, 'x', '(B, M, D)', dims, 'float32');
  checkShape('gatherRows', idx, 'idx', '(B, L)', dims, 'int32');
  return gatherRowsOp({ x, idx }, {})[0] as tf.Tensor3D;
}

/**
 * Rows of a table by id. Unlike `tf.gather` its gradient (a scatter-add) exists and is fast on every backend.
 *
 * @param table (V, D) float32. @param ids int32 of any shape, 0..V-1.
 * @returns (...ids.shape, D)
 * @throws ShapeError; DataError for an id outside the table where the ids are on the host (cpu, wasm); tensorflow reports it itself; webgpu does not check.
 */
export function embedding(table: tf.Tensor, ids: tf.Tensor): tf.Tensor {
  checkShape('embedding', table, 'table', '(V, D)', {}, 'float32');
  if (ids.dtype !== 'int32') throw new ShapeError(`[embedding] \`ids\`: expected dtype int32, got ${ids.dtype}. Hint: tf.cast(ids, 'int32').`);
  return embeddingOp({ table, ids }, {})[0];
}
