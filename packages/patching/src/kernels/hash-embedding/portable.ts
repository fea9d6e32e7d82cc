import * as tf from '@tensorflow/tfjs-core';
import { canReadSync, type HostArray, type OpInputs } from '@bytelm/core';
import { tableName, type GradInput, type HashEmbeddingAttrs, type HashEmbeddingGradAttrs } from './attrs.js';
import { hashEmbeddingGradLoops } from './loops.js';

/** (N) the row of a source at each position, `none` where it has none. */
function rowsOf(ids: tf.Tensor, buckets: tf.Tensor, table: number, start: number, rows: number, none: number): tf.Tensor1D {
  const count = ids.shape[0]!;
  const index = table < 0 ? ids : tf.reshape(tf.slice(buckets, [table, 0], [1, count]), [count]);
  const row = start ? tf.sub(index, tf.scalar(start, 'int32')) : index;
  const isInside = tf.logicalAnd(tf.greaterEqual(row, tf.scalar(0, 'int32')), tf.less(row, tf.scalar(rows, 'int32')));
  return tf.where(isInside, row, tf.fill([count], none, 'int32')) as tf.Tensor1D;
}

export function hashEmbeddingPortable(inputs: OpInputs<string>, { sources }: HashEmbeddingAttrs): tf.Tensor[] {
  const { ids, buckets } = inputs;
  const [count, width] = [ids!.shape[0]!, inputs[tableName(0)]!.shape[1]!];
  if (count * width === 0) return [tf.zeros([count, width])];
  const added = sources.map(({ table, start }, s) => {
    const rows = inputs[tableName(s)]!;
    const at = rowsOf(ids!, buckets!, table, start, rows.shape[0]!, -1);
    const isInside = tf.cast(tf.greaterEqual(at, tf.scalar(0, 'int32')), 'float32');
    return tf.mul(tf.gather(rows, tf.relu(at)), tf.expandDims(isInside, 1));
  });
  return [added.reduce((a, b) => tf.add(a, b))];
}

export function hashEmbeddingGradPortable({ dy, ids, buckets }: OpInputs<GradInput>, attrs: HashEmbeddingGradAttrs): tf.Tensor[] {
  // unsortedSegmentSum is missing on wasm and quadratic on cpu; there the values are on the host anyway.
  if (dy!.size === 0 || (canReadSync() && tf.getBackend() !== 'tensorflow')) {
    const host = (t: tf.Tensor): HostArray => ({ shape: [...t.shape], values: t.dataSync() as Float32Array });
    const made = hashEmbeddingGradLoops({ dy: host(dy!), ids: host(ids!), buckets: host(buckets!) }, attrs);
    return made.map((g) => tf.tensor(g.values, g.shape, 'float32'));
  }
  return attrs.sources.map(({ table, start, rows }) => tf.unsortedSegmentSum(dy as tf.Tensor2D, rowsOf(ids!, buckets!, table, start, rows, -1), rows));
}
