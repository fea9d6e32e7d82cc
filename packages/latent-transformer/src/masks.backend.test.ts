import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { Segmentation, SequenceContext } from '@bytelm/core';
import { backendsForTest, fixtureRoot, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { all, causal, notPadding, patchCausal, sameChunk, sameDocument, slidingWindow, type MaskRule } from './masks.js';
import { attention, type AttentionMask } from './ops/attention.js';

type Matrix = number[][];
const golden = (name: string) => JSON.parse(readFileSync(join(fixtureRoot(), 'blt/masks', `${name}.json`), 'utf8')) as Record<string, any>[];

/** (B, Tq, Tk) of 0 and 1: with equal scores, the value of a key with a one at its own place says whether it was seen. */
async function seen(mask: AttentionMask, B: number, queries: number, keys: number): Promise<Matrix[]> {
  const v = tf.tile(tf.reshape(tf.eye(keys), [1, keys, 1, keys]), [B, 1, 1, 1]) as tf.Tensor4D;
  const { y } = attention(tf.zeros([B, queries, 1, 4]), { k: tf.zeros([B, keys, 1, 4]), v, mask });
  const values = await y.data();
  return Array.from({ length: B }, (_, b) => Array.from({ length: queries }, (_, i) => Array.from({ length: keys }, (_, j) => Number(values[(b * queries + i) * keys + j]! > 0))));
}

/** Starts of patches at t + 1 are boundaries at t. */
function segmentation(lengths: number[][], n: number): Segmentation {
  const mask = new Uint8Array(lengths.length * n);
  lengths.forEach((row, b) => row.reduce((start, len) => {
    if (start > 0 && len > 0) mask[b * n + start - 1] = 1;
    return start + len;
  }, 0));
  return new Segmentation(lengths.length, n, mask, { drawnAt: 'end' });
}

/** Documents end with EOS, which is id 2. */
function documents(tokens: number[][]): Int32Array {
  return Int32Array.from(tokens.flatMap((row) => row.map((_, t) => row.slice(0, t).filter((id) => id === 2).length)));
}

describe.each(backendsForTest())('masks on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it('causal, window and documents: BLT’s local masks', async () => {
    for (const { tokens, window, document_reset: reset, mask } of golden('local_block_causal')) {
      const [B, L] = [tokens.length, tokens[0].length];
      const ctx = new SequenceContext(B, L, { documentIds: reset ? documents(tokens) : undefined });
      const rules = [causal(), ...(window === null ? [] : [slidingWindow(window)]), sameDocument(ctx)];
      expect(await seen(all(...rules), B, L, L)).toEqual(mask);
    }
  });

  it('chunks: BLT’s cross-attention masks, as far as patches are complete', async () => {
    for (const { patch_lengths: lengths, n, k, window, encoder_mask: encoder, decoder_mask: decoder } of golden('cross_attention')) {
      const seg = segmentation(lengths, n);
      const rule = (queries: 'chunks' | 'bytes'): MaskRule =>
        window === null ? sameChunk(seg, { queries, slotsPerChunk: k }) : patchCausal(seg, { queries, slotsPerChunk: k, window });
      const slots = seg.maxChunks * k;
      const down = await seen(all(rule('chunks')), seg.batch, slots, n);
      const up = await seen(all(rule('bytes')), seg.batch, n, slots);
      for (let b = 0; b < seg.batch; b++) {
        const complete = seg.numChunks[b]! * k;
        // The open patch has no slots here yet: its bytes are seen by no one.
        const closed = down[b]!.slice(0, complete);
        closed.forEach((row, i) => expect(row).toEqual(encoder[b][i].map((seenByte: number, t: number) => (isClosed(seg, b, t) ? seenByte : 0))));
        up[b]!.forEach((row, t) => expect(row.slice(0, complete)).toEqual(decoder[b][t].slice(0, complete)));
      }
    }
  });

  it('joins what concerns different things: documents and chunks, padding', async () => {
    const seg = new Segmentation(1, 6, Uint8Array.of(1, 0, 1, 0, 0, 1));
    const ctx = new SequenceContext(1, 6, { documentIds: Int32Array.of(0, 0, 1, 1, 1, 1), lengths: [5] });
    const inner = seg.innerContext(ctx);
    // Chunks of bytes 0 | 1 2 | 3 4 5; the second reaches into the second document, to which it belongs.
    const both = all(sameChunk(seg, { queries: 'chunks' }), sameDocument(inner, ctx), notPadding(ctx));
    expect(await seen(both, 1, 3, 6)).toEqual([[[1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 0]]]);
    const earlier = all(patchCausal(seg, { queries: 'bytes' }), sameDocument(ctx, inner));
    expect(await seen(earlier, 1, 6, 3)).toEqual([[[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 1, 1]]]);
  });
});

const isClosed = (seg: Segmentation, b: number, t: number) => seg.boundaryMask.subarray(b * seg.length + t, (b + 1) * seg.length).includes(1);

describe('masks refuse', () => {
  const seg = new Segmentation(1, 2, Uint8Array.of(1, 1));
  it.each([
    ['rules by index with rules by chunk', () => all(causal(), patchCausal(seg, { queries: 'bytes' })), /they do not mix/],
    ['two windows', () => all(slidingWindow(3), slidingWindow(4)), /2 rules give windowLeft/],
    ['an empty window', () => slidingWindow(0), /expected a positive whole number, got 0/],
    ['rules of different sizes', () => all(sameChunk(seg, { queries: 'bytes' }), sameChunk(seg, { queries: 'chunks', slotsPerChunk: 2 })), /different sizes: \(1, 2\) and \(1, 4\)/],
  ])('%s', (_, call, message) => expect(call).toThrow(message));
});
