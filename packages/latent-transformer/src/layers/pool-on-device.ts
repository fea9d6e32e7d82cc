import * as tf from '@tensorflow/tfjs-core';
import { ownState, type DeviceDecision, type DeviceRows, type OnDevice } from '@bytelm/core';
import { runEach, u32 } from '@bytelm/core/webgpu';
import { canDecode, decodeOnWebGpu } from '../kernels/decode-attention/webgpu.js';
import { ROW_WORDS } from '../kernels/decode-attention/webgpu-text.js';
import type { KvCacheState } from '../kv-cache.js';
import type { CrossAttention } from './cross-attention.js';
import { twice, type CrossAttentionPool } from './cross-attention-pool.js';
import type { CrossAttentionPoolState } from './open-patches.js';

/** The bytes of each row's open patch. */
interface DevicePool {
  max: tf.Tensor2D;
  layers: Pick<KvCacheState, 'k' | 'v'>[];
  /** (B) int32 bytes that are open. */
  lengths: tf.Tensor1D;
  /** No patch has more bytes. */
  reach: number;
}

interface Inputs {
  encoded: tf.Tensor2D;
  decision: DeviceDecision;
}

/** Steps of BLT's pooling on the device: the byte joins the open patch, and the patch as it now is becomes a chunk, which counts where it ends. */
export function poolOnDevice(pool: CrossAttentionPool): OnDevice<Inputs, tf.Tensor2D, CrossAttentionPoolState, DevicePool> {
  const { layers, cache, queriesPerChunk: S, dModel: D } = pool;
  const heads = layers[0]!.numHeads;
  return {
    canStep: (batchSize) => canDecode(D / heads, D / heads, heads * S, heads, batchSize),
    begin({ max, layers: caches }, room) {
      const { lengths } = caches[0]!;
      const reach = Math.max(1, ...lengths) + room;
      return { max: ownState(max), layers: caches.map(({ k, v }) => ownState(cache.reserve({ k, v }, reach))), lengths: tf.tensor1d(Int32Array.from(lengths), 'int32'), reach };
    },
    extend: (state, room) => ({ ...state, layers: state.layers.map((s) => cache.reserve(s, state.reach + room)), reach: state.reach + room }),
    step({ encoded, decision }, state, rows) {
      const places = join(encoded, decision, state, rows, D);
      const batch = encoded.shape[0];
      let slots = tf.reshape(pool.projection.forward(state.max), [batch, S, D]) as tf.Tensor3D;
      pool.outputsOf(tf.expandDims(encoded, 1) as tf.Tensor3D).forEach((x, i) => {
        const own = state.layers[i]!;
        putInSlots(layers[i]!.keysValues(x), own, places);
        slots = twice(slots, attend(layers[i]!, slots, own, places, state.reach));
      });
      return tf.reshape(slots, [batch, S * D]) as tf.Tensor2D;
    },
  };
}

/** The byte's place in its row's open patch, (B, ROW_WORDS) int32, and the maximum with it. Where the patch ends, the next byte opens one. */
function join(encoded: tf.Tensor2D, { boundary }: DeviceDecision, { max, lengths }: DevicePool, { active, fresh }: DeviceRows, D: number): tf.Tensor2D {
  const batch = lengths.size;
  const mask = (name: string, tensor: tf.Tensor | undefined) => (tensor ? [{ name, type: 'u32' as const, tensor }] : []);
  const [, table] = runEach(tf.backend(), batch, {
    key: `places in open patches${active ? ', active' : ''}${fresh ? ', fresh' : ''}`,
    reads: [{ name: 'boundary', type: 'u32', tensor: boundary }, ...mask('isActive', active), ...mask('fresh', fresh)],
    writes: [{ name: 'lengths', type: 'u32', out: lengths }, { name: 'places', type: 'i32', out: { shape: [batch, ROW_WORDS], dtype: 'int32' } }],
    uniforms: {},
    body: () => `  let at = i * ${ROW_WORDS}u;
  for (var word = 1u; word < ${ROW_WORDS}u; word++) { places[at + word] = 0; }
  places[at] = -1;
  ${active ? 'if (isActive[i] == 0u) { return; }' : ''}
  let slot = ${fresh ? 'select(lengths[i], 0u, fresh[i] != 0u)' : 'lengths[i]'};
  places[at] = i32(i);
  places[at + 2u] = i32(slot);
  places[at + 4u] = i32(slot + 1u);
  lengths[i] = select(slot + 1u, 0u, boundary[i] != 0u);`,
  });
  const places = tf.engine().makeTensorFromTensorInfo(table!) as tf.Tensor2D;
  runEach(tf.backend(), batch * D, {
    key: 'maximum of open patches',
    reads: [{ name: 'encoded', type: 'f32', tensor: encoded }, { name: 'places', type: 'i32', tensor: places }],
    writes: [{ name: 'highest', type: 'f32', out: max }],
    uniforms: { width: u32(D), stride: u32(encoded.shape[1]) },
    body: () => `  let row = i / u.width;
  let x = encoded[row * u.stride + i % u.width];
  if (places[row * ${ROW_WORDS}u] >= 0) { highest[i] = select(max(x, highest[i]), x, places[row * ${ROW_WORDS}u + 2u] == 0); }`,
  });
  return places;
}

/** Keys and values of the new byte, (B, 1, H, hd) each. */
function putInSlots(fresh: { k: tf.Tensor; v: tf.Tensor }, { k, v }: Pick<KvCacheState, 'k' | 'v'>, places: tf.Tensor2D): void {
  runEach(tf.backend(), fresh.k.size, {
    key: 'put in slots',
    reads: [{ name: 'newK', type: 'f32', tensor: fresh.k }, { name: 'newV', type: 'f32', tensor: fresh.v }, { name: 'places', type: 'i32', tensor: places }],
    writes: [{ name: 'k', type: 'f32', out: k }, { name: 'v', type: 'f32', out: v }],
    uniforms: { width: u32(k.shape[2] * k.shape[3]), capacity: u32(k.shape[1]) },
    body: () => `  let row = i / u.width;
  if (places[row * ${ROW_WORDS}u] < 0) { return; }
  let to = (row * u.capacity + u32(places[row * ${ROW_WORDS}u + 2u])) * u.width + i % u.width;
  k[to] = newK[i];
  v[to] = newV[i];`,
  });
}

/** Slots (B, S, D) attend to the bytes of their row's patch. All read the same keys: as query heads of a shared key head each key is read once. */
function attend(layer: CrossAttention, slots: tf.Tensor3D, { k, v }: Pick<KvCacheState, 'k' | 'v'>, rows: tf.Tensor2D, reach: number): tf.Tensor3D {
  const [B, S] = slots.shape;
  const { numHeads: H, headDim: P, scale } = layer;
  const q = tf.reshape(tf.transpose(layer.queries(layer.normQuery.forward(slots)), [0, 2, 1, 3]), [B, H * S, P]);
  const y = tf.engine().makeTensorFromTensorInfo(decodeOnWebGpu(tf.backend(), { q, k, v, rows }, { heads: H * S, scale, reach }));
  return layer.output(tf.transpose(tf.reshape(y, [B, H, S, P]), [0, 2, 1, 3])) as tf.Tensor3D;
}
