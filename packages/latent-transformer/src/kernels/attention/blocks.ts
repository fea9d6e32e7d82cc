import * as tf from '@tensorflow/tfjs-core';
import type { OpInputs } from '@bytelm/core';
import { keyRange, type AttentionAttrs, type AttentionInput } from './mask.js';

/** Scores of one block of queries stay below this many values (64 MiB in float32), whatever the length of the sequence. */
const MAX_SCORES = 1 << 24;
/** Blocks about this large stay in a processor's cache between the passes over them, and short ones skip more of a causal triangle. */
const GOOD_SCORES = 1 << 22;
const MIN_QUERIES = 64;
const MAX_QUERIES = 512;

/** Sizes of a call. `group` query heads share one key head. */
export interface Sizes {
  batch: number;
  queries: number;
  keys: number;
  heads: number;
  kvHeads: number;
  group: number;
  dim: number;
  valueDim: number;
}

export function sizesOf({ q, k, v }: OpInputs<AttentionInput>): Sizes {
  const [batch, queries, heads, dim] = q!.shape as [number, number, number, number];
  const [, keys, kvHeads] = k!.shape as [number, number, number, number];
  return { batch, queries, keys, heads, kvHeads, group: heads / kvHeads, dim, valueDim: v!.shape[3]! };
}

/** One block of queries and the keys that its queries can see at all. */
export interface Block {
  i0: number;
  i1: number;
  j0: number;
  j1: number;
}

/** Cuts the queries into blocks; keys that the host knows to be invisible to a whole block are left out. */
export function queryBlocks(s: Sizes, inputs: OpInputs<AttentionInput>, attrs: AttentionAttrs): Block[] {
  // With a window a block sees its own length plus the window: blocks about as long as the window waste at most half.
  const wish = attrs.windowLeft >= 0 ? Math.max(MIN_QUERIES, Math.min(MAX_QUERIES, attrs.windowLeft + 1)) : MAX_QUERIES;
  const span = attrs.windowLeft >= 0 && !inputs.queryPositions && !inputs.keyPositions ? Math.min(s.keys, wish + attrs.windowLeft) : s.keys;
  const perQuery = Math.max(1, s.batch * s.heads * span);
  const good = Math.min(wish, Math.max(MIN_QUERIES, Math.floor(GOOD_SCORES / perQuery)));
  const length = Math.max(1, Math.min(good, Math.floor(MAX_SCORES / perQuery)));
  const blocks: Block[] = [];
  for (let i0 = 0; i0 < s.queries; i0 += length) {
    const i1 = Math.min(i0 + length, s.queries);
    const [j0, j1] = keyRange(i0, i1, s.keys, inputs, attrs);
    blocks.push({ i0, i1, j0, j1 });
  }
  return blocks;
}

/** (B, T, h, d) → (B, h, T, d). */
export const headsFirst = (x: tf.Tensor): tf.Tensor4D => tf.transpose(x, [0, 2, 1, 3]) as tf.Tensor4D;

/** Positions [from, to) of (B, h, T, d) as (B*kvHeads, h/kvHeads*(to-from), d): the query heads of one key head become rows of one product. */
export function rowsOf(x: tf.Tensor4D, from: number, to: number, kvHeads: number): tf.Tensor3D {
  const [b, h, t, d] = x.shape;
  const part = from === 0 && to === t ? x : tf.slice(x, [0, 0, from, 0], [b, h, to - from, d]);
  return tf.reshape(part, [b * kvHeads, (h / kvHeads) * (to - from), d]);
}
