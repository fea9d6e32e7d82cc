import * as tf from '@tensorflow/tfjs-core';
import { ownState, type AddedPair, type OnDevice, type ResidualPair } from '@bytelm/core';
import { runEach, u32 } from '@bytelm/core/webgpu';
import { crossAttendAtWebGpu } from '../kernels/cross-step/webgpu.js';
import { ROW_WORDS } from '../kernels/decode-attention/webgpu-text.js';
import { canMultiplyPacked } from '../kernels/transformer-step/webgpu-packed.js';
import { canStepOnWebGpu } from '../kernels/transformer-step/webgpu.js';
import type { KvCacheState } from '../kv-cache.js';
import type { CrossAttentionBlock } from './cross-attention-block.js';

/** The remembered slots of each row, and the table that says how many there are: all of a chunk's or none. */
interface DeviceSlots extends Pick<KvCacheState, 'k' | 'v'> {
  /** (B, ROW_WORDS) int32. */
  rows: tf.Tensor2D;
}

/** Steps of a cross-attending block on the device. The first byte of a document opens a chunk, which takes the place of what was remembered. */
export function crossBlockOnDevice(block: CrossAttentionBlock): OnDevice<ResidualPair<tf.Tensor2D>, AddedPair<tf.Tensor2D>, KvCacheState, DeviceSlots> {
  const { attention, slotsPerChunk: S, dModel: D } = block;
  return {
    canStep: (batchSize) => canStepOnWebGpu(batchSize, attention) && (!attention.wq.packed || canMultiplyPacked(batchSize, [D])),
    begin({ k, v, lengths }) {
      const words = Array.from(lengths, (n, b) => [b, 0, 0, 0, n > 0 ? S : 0]).flat();
      return { ...ownState({ k, v }), rows: tf.tensor2d(words, [lengths.length, ROW_WORDS], 'int32') };
    },
    extend: (state) => state,
    step: (pair, { k, v, rows }) => crossAttendAtWebGpu(attention, pair, { k, v }, { rows, reach: S }),
    remember(chunks, state, { active }) {
      const B = chunks.shape[0];
      const fresh = attention.keysValues(tf.reshape(chunks, [B, S, D]));
      runEach(tf.backend(), B * S * D, {
        key: `remember slots${active ? ', active' : ''}`,
        reads: [{ name: 'newK', type: 'f32', tensor: fresh.k }, { name: 'newV', type: 'f32', tensor: fresh.v }, ...(active ? [{ name: 'isActive', type: 'u32' as const, tensor: active }] : [])],
        writes: [{ name: 'k', type: 'f32', out: state.k }, { name: 'v', type: 'f32', out: state.v }, { name: 'rows', type: 'u32', out: state.rows }],
        uniforms: { width: u32(S * D), slots: u32(S) },
        body: () => `  let row = i / u.width;
  ${active ? 'if (isActive[row] == 0u) { return; }' : ''}
  k[i] = newK[i];
  v[i] = newV[i];
  if (i % u.width == 0u) { rows[row * ${ROW_WORDS}u + ${ROW_WORDS - 1}u] = u.slots; }`,
      });
    },
  };
}
