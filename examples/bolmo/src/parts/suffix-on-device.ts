import type { OnDevice } from '@bytelm/core';
import { runWgsl } from '@bytelm/core/webgpu';
import { BOLMO_VOCABULARY } from '@bytelm/distill';
import * as tf from '@tensorflow/tfjs-core';
import { SUBWORD_END, type SuffixEmbeddingState } from './suffix-embedding.js';
import type { SuffixTrie } from './suffix-trie.js';

const { numIds } = BOLMO_VOCABULARY;

/** The newest ids of every row, and the vocabulary's trie; all int32. */
interface DeviceSuffixes {
  /** (B*depth) ring. */
  recent: tf.Tensor1D;
  /** (B) ids kept so far. */
  kept: tf.Tensor1D;
  /** (slots*2) key and node of each slot. */
  edges: tf.Tensor1D;
  entries: tf.Tensor1D;
}

/**
 * Steps of the embedding on the device, in one dispatch: the first thread of a row walks back through its ids, as `SuffixTrie.longest` does, and
 * all add up both vectors. Where no entry ends, nothing is added.
 */
export function suffixOnDevice(trie: SuffixTrie, bytes: tf.Tensor, subwords: tf.Tensor): OnDevice<tf.Tensor1D, tf.Tensor2D, SuffixEmbeddingState, DeviceSuffixes> {
  const { depth } = trie;
  const ints = (values: ArrayLike<number>) => tf.tensor1d(Int32Array.from(values), 'int32');
  return {
    canStep: () => true,
    begin({ recent, read }) {
      const { keys, nodes, entries } = trie.arrays;
      const edges = new Int32Array(2 * keys.length);
      keys.forEach((key, slot) => edges.set([key, nodes[slot]!], 2 * slot));
      return { recent: ints(recent), kept: ints(read), edges: ints(edges), entries: ints(entries) };
    },
    extend: (state) => state,
    step(ids, { recent, kept, edges, entries }) {
      const width = bytes.shape[1]!;
      const made = runWgsl(tf.backend(), {
        key: 'vectors of a byte and of the longest subword',
        inputs: { ids, edges, entries, bytes, subwords },
        outputs: { recent, kept, y: { shape: [ids.size, width] } },
        u32: { depth, mask: edges.size / 2 - 1, width },
        workgroups: ids.size,
        declare: () => 'var<workgroup> longest: i32;\n',
        main: () => `
  let own = ids[g] % ${numIds};
  if (local == 0u) {
    if (own != ${SUBWORD_END}) {
      recent[g * u.depth + u32(kept[g]) % u.depth] = own;
      kept[g]++;
    }
    let known = u32(kept[g]);
    var node = 0;
    longest = -1;
    for (var steps = 0u; steps < min(u.depth, known); steps++) {
      let key = node * ${numIds} + recent[g * u.depth + (known - 1u - steps) % u.depth] + 1;
      let hash = bitcast<u32>(key) * 0x9e3779b1u;
      var slot = (hash ^ (hash >> 15u)) & u.mask;
      for (var tries = 0u; tries < u.mask && edges[2u * slot] != 0 && edges[2u * slot] != key; tries++) { slot = (slot + 1u) & u.mask; }
      if (edges[2u * slot] != key) { break; }
      node = edges[2u * slot + 1u];
      if (entries[node] >= 0) { longest = entries[node]; }
    }
  }
  workgroupBarrier();
  for (var d = local; d < u.width; d += 64u) {
    var v = bytes[u32(own) * u.width + d];
    if (longest >= 0) { v += subwords[u32(longest) * u.width + d]; }
    y[g * u.width + d] = v;
  }`,
      });
      return tf.engine().makeTensorFromTensorInfo(made[2]!) as tf.Tensor2D;
    },
  };
}
