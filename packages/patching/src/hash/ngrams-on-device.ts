import type { OnDevice } from '@bytelm/core';
import { runEach, u32 } from '@bytelm/core/webgpu';
import * as tf from '@tensorflow/tfjs-core';
import type { HashNgramAttrs } from '../kernels/hash-ngrams/attrs.js';
import { hashNgramsOp } from '../kernels/hash-ngrams/op.js';
import { hashEmbedding, type HashEmbeddingTables } from './hash-embedding.js';
import type { HashNgramState } from './hash-ngram-embedding.js';

/** (B, history) int32 the last ids of each row. */
interface DeviceNgrams {
  last: tf.Tensor2D;
}

/** Steps of an n-gram embedding on the device. */
export function ngramsOnDevice(tables: HashEmbeddingTables, attrs: HashNgramAttrs): OnDevice<tf.Tensor1D, tf.Tensor2D, HashNgramState, DeviceNgrams> {
  const H = attrs.history;
  return {
    canStep: () => H > 0,
    begin: ({ last }) => ({ last: tf.tensor2d(Int32Array.from(last), [last.length / H, H], 'int32') }),
    extend: (state) => state,
    step(ids, { last }) {
      const B = ids.size;
      const [, all] = runEach(tf.backend(), B, {
        key: 'last ids of n-grams',
        reads: [{ name: 'ids', type: 'u32', tensor: ids }],
        writes: [{ name: 'last', type: 'u32', out: last }, { name: 'all', type: 'u32', out: { shape: [B, H + 1], dtype: 'int32' } }],
        uniforms: { history: u32(H) },
        body: () => `  let first = i * u.history;
  let to = i * (u.history + 1u);
  for (var n = 0u; n < u.history; n++) { all[to + n] = last[first + n]; }
  all[to + u.history] = ids[i];
  for (var n = 0u; n < u.history; n++) { last[first + n] = all[to + n + 1u]; }`,
      });
      const [buckets] = hashNgramsOp({ ids: tf.engine().makeTensorFromTensorInfo(all!) }, attrs);
      const [, D] = tables.bytes.shape as [number, number];
      return tf.reshape(hashEmbedding(tf.reshape(ids, [B, 1]), buckets!, tables), [B, D]) as tf.Tensor2D;
    },
  };
}
