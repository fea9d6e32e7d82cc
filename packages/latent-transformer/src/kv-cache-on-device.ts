import * as tf from '@tensorflow/tfjs-core';
import { ownState, type DeviceRows } from '@bytelm/core';
import { runEach, u32 } from '@bytelm/core/webgpu';
import { ROW_WORDS } from './kernels/decode-attention/webgpu-text.js';
import type { KvCache, KvCacheState } from './kv-cache.js';
import type { RotaryEmbedding } from './rotary-embedding.js';

/** A cache whose rows stand at positions that only the device knows. All tensors are changed in place, or read only, and stay. */
export interface DeviceCacheState extends Pick<KvCacheState, 'k' | 'v'> {
  /** (B) int32 positions that each row has seen of its document. */
  lengths: tf.Tensor1D;
  /** Rotary tables for as many positions as there is room for. */
  tables: { cos: tf.Tensor2D; sin: tf.Tensor2D } | undefined;
  /** No row sees a position beyond this one. */
  reach: number;
}

/** Consumes `state`. */
export function beginCache(cache: KvCache, rotary: RotaryEmbedding | undefined, state: KvCacheState, room: number): DeviceCacheState {
  const { k, v, lengths } = state;
  const reach = Math.max(1, ...lengths) + room;
  return { ...ownState(cache.reserve({ k, v }, reach)), lengths: tf.tensor1d(Int32Array.from(lengths), 'int32'), tables: tablesFor(rotary, reach), reach };
}

/** Consumes `state`. */
export function extendCache(cache: KvCache, rotary: RotaryEmbedding | undefined, state: DeviceCacheState, room: number): DeviceCacheState {
  const reach = state.reach + room;
  if (state.tables) tf.dispose(state.tables);
  return { ...cache.reserve(state, reach), tables: tablesFor(rotary, reach), reach };
}

/** Of its own: those of the embedding are replaced when somebody wants longer ones. */
function tablesFor(rotary: RotaryEmbedding | undefined, positions: number): DeviceCacheState['tables'] {
  if (!rotary) return undefined;
  const { cos, sin } = rotary.tables(positions);
  return { cos: tf.clone(cos), sin: tf.clone(sin) };
}

/**
 * `KvCache.claim` on the device: where the rows write their new position and what they see, (B, ROW_WORDS) int32. Rows that are not active
 * have −1 for their cache row and see nothing.
 */
export function claimOnDevice(cache: KvCache, { k, lengths }: DeviceCacheState, { active, fresh }: DeviceRows): tf.Tensor2D {
  const batch = lengths.size;
  const { windowLeft } = cache.config;
  const [, table] = runEach(tf.backend(), batch, {
    key: `claim slots${active ? ', active' : ''}${fresh ? ', fresh' : ''}`,
    reads: [...(active ? [{ name: 'isActive', type: 'u32' as const, tensor: active }] : []), ...(fresh ? [{ name: 'fresh', type: 'u32' as const, tensor: fresh }] : [])],
    writes: [{ name: 'lengths', type: 'u32', out: lengths }, { name: 'table', type: 'i32', out: { shape: [batch, ROW_WORDS], dtype: 'int32' } }],
    uniforms: { capacity: u32(k.shape[1]), window: u32(windowLeft < 0 ? 2 ** 32 - 1 : windowLeft + 1) },
    body: () => `  let at = i * ${ROW_WORDS}u;
  ${active ? `if (isActive[i] == 0u) {
    table[at] = -1;
    for (var word = 1u; word < ${ROW_WORDS}u; word++) { table[at + word] = 0; }
    return;
  }` : ''}
  let position = ${fresh ? 'select(lengths[i], 0u, fresh[i] != 0u)' : 'lengths[i]'};
  let length = position + 1u;
  let seen = min(length, u.window);
  table[at] = i32(i);
  table[at + 1u] = i32(position);
  table[at + 2u] = i32(position % u.capacity);
  table[at + 3u] = select(i32((length - seen) % u.capacity), 0, seen == u.capacity);
  table[at + 4u] = i32(seen);
  lengths[i] = length;`,
  });
  return tf.engine().makeTensorFromTensorInfo(table!) as tf.Tensor2D;
}

/** Most slots that a query sees. */
export const reachOf = (cache: KvCache, { reach }: DeviceCacheState): number => (cache.config.windowLeft < 0 ? reach : Math.min(reach, cache.config.windowLeft + 1));
