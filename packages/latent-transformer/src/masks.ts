import * as tf from '@tensorflow/tfjs-core';
import { ConfigError, type Segmentation, type SequenceContext } from '@bytelm/core';
import type { AttentionMask } from './ops/attention.js';

/** One id for each position of a batch, (B, T), on the host. */
interface Grid {
  values: Int32Array;
  batch: number;
  length: number;
}

/** One reason for a query to see a key or not; made by the functions here, joined by `all`. */
export interface MaskRule {
  /** By index: a key is not after the query. */
  causal?: boolean;
  /** By index: a key is at most so many positions before the query. */
  windowLeft?: number;
  /** By chunk, with the same two rules; a negative key is no key. */
  chunks?: { queries: Grid; keys: Grid; windowLeft: number };
  /** Ids of query and key are equal. */
  same?: { queries: Grid; keys: Grid };
  /** (B) keys from there on are padding. */
  keyLengths?: Int32Array;
}

/** Keys up to the query's own position. */
export const causal = (): MaskRule => ({ causal: true });

/** Keys at most `width` − 1 positions before the query: `width` keys with its own, as BLT's and transformers' `sliding_window` count. Together with `causal`. */
export function slidingWindow(width: number): MaskRule {
  if (!(Number.isInteger(width) && width > 0)) throw new ConfigError(`[slidingWindow] width: expected a positive whole number, got ${width}. Hint: 1 is the own position alone.`);
  return { windowLeft: width - 1 };
}

/** Keys that are no padding. @param keys their context. */
export const notPadding = (keys: SequenceContext): MaskRule => (keys.lengths ? { keyLengths: keys.lengths } : {});

/** Keys of the query's packed document. @param keys their context where it is not the queries' own, e.g. `seg.innerContext(ctx)`. */
export function sameDocument(queries: SequenceContext, keys: SequenceContext = queries): MaskRule {
  const grid = ({ documentIds, batch, length }: SequenceContext): Grid => ({ values: documentIds ?? new Int32Array(batch * length), batch, length });
  return queries.documentIds || keys.documentIds ? { same: { queries: grid(queries), keys: grid(keys) } } : {};
}

export interface ChunkRuleOptions {
  /**
   * 'chunks': each chunk's slots look at bytes, those that it pools. 'bytes': each byte looks at slots of chunks, from the one whose output
   * it may use (`visibleChunk`).
   */
  queries: 'chunks' | 'bytes';
  /** Slots of a chunk, side by side: chunk j has slots j·s to j·s + s − 1. Default 1. */
  slotsPerChunk?: number;
}

/** Bytes and slots of one chunk: BLT's cross-attention in encoder and decoder. */
export function sameChunk(seg: Segmentation, { queries, slotsPerChunk = 1 }: ChunkRuleOptions): MaskRule {
  const slots = slotGrid(seg, slotsPerChunk);
  return { same: queries === 'chunks' ? { queries: slots, keys: byteGrid(seg, 'pooled') } : { queries: byteGrid(seg, 'visible'), keys: slots } };
}

/** The same with earlier chunks. @param options.window Chunks in all, the own one included (BLT's `cross_attn_window`). Default: all. */
export function patchCausal(seg: Segmentation, { queries, slotsPerChunk = 1, window }: ChunkRuleOptions & { window?: number | undefined }): MaskRule {
  if (window !== undefined && !(Number.isInteger(window) && window > 0)) throw new ConfigError(`[patchCausal] window: expected a positive whole number of chunks, got ${window}.`);
  const slots = slotGrid(seg, slotsPerChunk);
  const windowLeft = window === undefined ? -1 : window - 1;
  const grids = queries === 'chunks' ? { queries: slots, keys: byteGrid(seg, 'pooled') } : { queries: byteGrid(seg, 'visible'), keys: slots };
  return { chunks: { ...grids, windowLeft } };
}

/**
 * Joins rules: a key is seen when every rule allows it. What comes out are a few numbers and ids a position, never a matrix of queries by
 * keys. The tensors in it belong to the caller.
 *
 * @throws ConfigError for rules that cannot be joined: by index with by chunk, or two of the same kind but `same`.
 * @example
 * const { y } = attention(q, { k, v, mask: masks.all(masks.causal(), masks.slidingWindow(512), masks.sameDocument(ctx)) });
 */
export function all(...rules: MaskRule[]): AttentionMask {
  const one = <K extends keyof MaskRule>(key: K): MaskRule[K] | undefined => {
    const given = rules.filter((r) => r[key] !== undefined);
    if (given.length > 1 && key !== 'causal') throw new ConfigError(`[masks.all] ${given.length} rules give ${key}. Hint: at most one of each kind, except documents and chunks.`);
    return given[0]?.[key];
  };
  const chunks = one('chunks');
  const byIndex = { causal: one('causal') ?? false, windowLeft: one('windowLeft') };
  if (chunks && (byIndex.causal || byIndex.windowLeft !== undefined)) {
    throw new ConfigError('[masks.all] causal and slidingWindow go by index, patchCausal by chunk: they do not mix. Hint: patchCausal has a window of its own.');
  }
  const segments = joinSame(rules.flatMap((r) => r.same ?? []));
  const keyLengths = one('keyLengths');
  return {
    ...(chunks ? { causal: true, windowLeft: chunks.windowLeft, queryPositions: tensorOf(chunks.queries), keyPositions: tensorOf(chunks.keys) } : byIndex),
    ...(segments && { querySegments: tensorOf(segments.queries), keySegments: tensorOf(segments.keys) }),
    ...(keyLengths && { keyLengths: tf.tensor1d(keyLengths, 'int32') }),
  };
}

const tensorOf = ({ values, batch, length }: Grid): tf.Tensor2D => tf.tensor2d(values, [batch, length], 'int32');

/** Several equalities as one: pairs of ids get numbers of their own. */
function joinSame(pairs: readonly { queries: Grid; keys: Grid }[]): { queries: Grid; keys: Grid } | undefined {
  if (pairs.length < 2) return pairs[0];
  const numbers = new Map<string, number>();
  const renumber = (grids: Grid[]): Grid => {
    const [first] = grids as [Grid];
    const odd = grids.find((g) => g.batch !== first.batch || g.length !== first.length);
    if (odd) throw new ConfigError(`[masks.all] rules of different sizes: (${first.batch}, ${first.length}) and (${odd.batch}, ${odd.length}).`);
    const values = first.values.map((_, i) => {
      const key = grids.map((g) => g.values[i]).join();
      if (!numbers.has(key)) numbers.set(key, numbers.size);
      return numbers.get(key)!;
    });
    return { ...first, values };
  };
  return { queries: renumber(pairs.map((p) => p.queries)), keys: renumber(pairs.map((p) => p.keys)) };
}

/** The chunk of each slot. */
function slotGrid({ batch, maxChunks }: Segmentation, slotsPerChunk: number): Grid {
  const length = maxChunks * slotsPerChunk;
  return { values: Int32Array.from({ length: batch * length }, (_, i) => Math.floor((i % length) / slotsPerChunk)), batch, length };
}

/** The chunk that pools each byte, or the one that it sees; −1: none. */
function byteGrid({ batch, length, boundaryMask, numChunks }: Segmentation, kind: 'pooled' | 'visible'): Grid {
  const values = new Int32Array(batch * length);
  for (let b = 0; b < batch; b++)
    for (let t = 0, n = 0; t < length; t++) {
      const i = b * length + t;
      if (kind === 'pooled') values[i] = n < numChunks[b]! ? n : -1;
      n += boundaryMask[i]!;
      if (kind === 'visible') values[i] = n - 1;
    }
  return { values, batch, length };
}
