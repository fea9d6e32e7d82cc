import * as tf from '@tensorflow/tfjs-core';
import { gatherRows, segmentPool, type Segmentation, type SequenceContext } from '@bytelm/core';
import type { KvCacheState } from '../kv-cache.js';

/** The bytes of each row's open patch. */
export interface CrossAttentionPoolState {
  /** (B, D) their maximum; meaningless in rows without an open byte. */
  max: tf.Tensor2D;
  /** Their keys and values for each layer. */
  layers: KvCacheState[];
}

/** (B, L, H, hd) each. */
export type KeysValues = { k: tf.Tensor4D; v: tf.Tensor4D };

/** Where the bytes of a piece go: into its patches, or into the one that each row leaves open. */
export interface PatchLayout {
  /** (B*L) the patch that pools each byte; −1 for bytes of none that closes in this piece. */
  ids: Int32Array;
  /** (B) 1 where the bytes that a row had left open before belong to the first patch that closes here. */
  joins: Uint8Array;
  /** (B) 1 where they stay open. */
  stays: Uint8Array;
  /** (B) first byte of the patch that is open behind the piece, and how many real bytes it has here. */
  from: Int32Array;
  counts: Int32Array;
}

/**
 * Patches of a piece. A patch that is drawn at its first byte (H-Net) holds no bytes of an earlier document. One that is drawn at its last byte
 * holds whatever the patcher put into it, as published: BLT's patchers end a patch with each document.
 */
export function layPatches(seg: Segmentation, ctx: SequenceContext): PatchLayout {
  const { batch, length, boundaryMask, drawnAt } = seg;
  const ids = new Int32Array(batch * length).fill(-1);
  const joins = new Uint8Array(batch);
  const stays = new Uint8Array(batch);
  const from = new Int32Array(batch);
  const counts = new Int32Array(batch);
  for (let b = 0; b < batch; b++) {
    const end = ctx.lengths?.[b] ?? length;
    let carried = true;
    let chunk = 0;
    for (let t = 0; t < end; t++) {
      if (drawnAt === 'start' && t > 0 && ctx.isStart(b, t)) {
        from[b] = t;
        carried = false;
      }
      if (!boundaryMask[b * length + t]) continue;
      if (chunk === 0 && carried) joins[b] = 1;
      ids.fill(chunk++, b * length + from[b]!, b * length + t + 1);
      from[b] = t + 1;
      carried = false;
    }
    stays[b] = carried ? 1 : 0;
    counts[b] = end - from[b]!;
  }
  return { ids, joins, stays, from, counts };
}

/** max(x, before), in rows that begin a patch x alone. */
export function raised<T extends tf.Tensor>(x: T, before: T, begins: readonly boolean[]): T {
  if (begins.every((b) => b)) return tf.clone(x);
  const both = tf.maximum(x, before) as T;
  return begins.some((b) => b) ? choose(begins, x, both) : both;
}

/** Rows of `a` where the flag is set, else of `b`. */
function choose<T extends tf.Tensor>(flags: readonly boolean[], a: T, b: T): T {
  const mask = tf.tensor(flags.map(Number), [flags.length, ...Array<number>(a.rank - 1).fill(1)]);
  return tf.add(tf.mul(a, mask), tf.mul(b, tf.sub(1, mask))) as T;
}

/** The patches of a piece with the bytes that were open before as the first ones of their patch. */
export function joinOpenBytes(
  pooled: tf.Tensor3D,
  fresh: KeysValues[],
  ids: tf.Tensor2D,
  state: CrossAttentionPoolState,
  layout: PatchLayout,
): { pooled: tf.Tensor3D; memory: KeysValues[]; ids: tf.Tensor2D } {
  const [B, L] = ids.shape;
  const [, M, D] = pooled.shape;
  const open = Array.from(state.layers[0]!.lengths, (n, b) => (layout.joins[b] ? n : 0));
  const C = Math.max(...open);
  if (C === 0) return { pooled, memory: fresh, ids };
  const first = tf.reshape(tf.slice(pooled, [0, 0, 0], [B, 1, D]), [B, D]) as tf.Tensor2D;
  const joined = tf.reshape(raised(first, state.max, open.map((n) => n === 0)), [B, 1, D]);
  // Row by row the open bytes directly in front of the new ones: the bytes of a patch are without gaps.
  const source = new Int32Array(B * (C + L)).fill(-1);
  const allIds = new Int32Array(B * (C + L)).fill(-1);
  for (let b = 0; b < B; b++) {
    const at = b * (C + L);
    const n = open[b]!;
    for (let j = 0; j < n; j++) source[at + j] = j;
    for (let t = 0; t < L; t++) source[at + n + t] = C + t;
    allIds.fill(0, at, at + n);
    allIds.set(layout.ids.subarray(b * L, (b + 1) * L), at + n);
  }
  const index = tf.tensor2d(source, [B, C + L], 'int32');
  const join = (cached: tf.Tensor4D, x: tf.Tensor4D): tf.Tensor4D => {
    const [, , H, P] = x.shape;
    const both = tf.concat([tf.slice(cached, [0, 0, 0, 0], [B, C, H, P]), x], 1);
    return tf.reshape(gatherRows(tf.reshape(both, [B, C + L, H * P]), index), [B, C + L, H, P]) as tf.Tensor4D;
  };
  return {
    pooled: M === 1 ? (joined as tf.Tensor3D) : (tf.concat([joined, tf.slice(pooled, [0, 1, 0], [B, M - 1, D])], 1) as tf.Tensor3D),
    memory: fresh.map(({ k, v }, i) => ({ k: join(state.layers[i]!.k, k), v: join(state.layers[i]!.v, v) })),
    ids: tf.tensor2d(allIds, [B, C + L], 'int32'),
  };
}

/** (B, D) the maximum over the bytes that are open behind a piece. */
export function openMaximum(x: tf.Tensor3D, state: CrossAttentionPoolState, { stays, from, counts }: PatchLayout): tf.Tensor2D {
  const [B, L, D] = x.shape;
  const ids = new Int32Array(B * L).fill(-1);
  from.forEach((t, b) => ids.fill(0, b * L + t, b * L + t + counts[b]!));
  const here = tf.reshape(segmentPool(x, tf.tensor2d(ids, [B, L], 'int32'), 1, 'max'), [B, D]) as tf.Tensor2D;
  const before = Array.from(state.layers[0]!.lengths, (n, b) => stays[b] === 1 && n > 0);
  const none = Array.from(counts, (n) => n === 0);
  return choose(none, state.max, raised(here, state.max, before.map((yes) => !yes)));
}
