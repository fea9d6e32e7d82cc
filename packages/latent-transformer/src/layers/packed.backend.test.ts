import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { disposeState, ResidualStack, Rng, Segmentation, SequenceContext, withWeightFormat, type Module } from '@bytelm/core';
import { loadParameters, openSafetensors, saveSafetensors, stateDict } from '@bytelm/core/io';
import { backendsForTest, expectClose, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { CrossAttentionBlock } from './cross-attention-block.js';
import { CrossAttentionDecoder } from './cross-attention-decoder.js';
import { CrossAttentionPool } from './cross-attention-pool.js';
import { LatentTransformer, type LatentTransformerConfig } from './latent-transformer.js';

const CONFIGS: Record<string, LatentTransformerConfig> = {
  'one matrix each': { dModel: 24, numLayers: 2, numHeads: 3, rotaryDim: 4, dIntermediate: 20, bias: true, windowSize: 5 },
  'separate matrices, grouped heads, norms behind': { dModel: 20, numLayers: 1, numHeads: 4, numKvHeads: 2, headDim: 10, names: 'olmo', qkNorm: 'all-heads', dIntermediate: 18, dInput: 12 },
  'an odd width stays plain': { dModel: 16, numLayers: 1, numHeads: 2, dIntermediate: 13 },
};

async function copy(from: Module, to: Module): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'bytelm-'));
  try {
    await saveSafetensors(stateDict(from), join(folder, 'x.safetensors'));
    const source = await openSafetensors(join(folder, 'x.safetensors'));
    await loadParameters(to, source);
    await source.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The same weights, which bf16 can hold, packed and plain. */
async function pair<M extends Module>(make: (rng?: Rng) => M): Promise<{ packed: M; plain: M }> {
  const plain = make(new Rng(5));
  const packed = withWeightFormat('bf16', () => make());
  await copy(plain, packed);
  await copy(packed, plain);
  return { packed, plain };
}

const at = (x: tf.Tensor3D, t: number, rows: readonly number[]) => tf.tidy(() => tf.concat(rows.map((b) => tf.reshape(tf.slice(x, [b, t, 0], [1, 1, x.shape[2]]), [1, x.shape[2]])), 0)) as tf.Tensor2D;
const close = { atol: 2e-5, rtol: 1e-5 };

describe.each(backendsForTest())('weights kept in bf16 on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it.each(Object.entries(CONFIGS))('transformer, %s', async (_, config) => {
    const { packed, plain } = await pair((rng) => new LatentTransformer({ ...config, initStd: 0.3, outInitStd: 0.3 }, rng));
    const [B, L] = [6, 9];
    const x = new Rng(1).normal([B, L, plain.dModel]) as tf.Tensor3D;
    await expectClose(packed.forward(x, new SequenceContext(B, L)), plain.forward(x, new SequenceContext(B, L)), { ...close, name: 'full pass' });
    let [a, b] = [packed.initState(B), plain.initState(B)];
    for (let t = 0; t < L; t++) {
      // All six rows, then three, then one: every way through the kernels.
      const rows = t % 3 === 0 ? [0, 1, 2, 3, 4, 5] : t % 3 === 1 ? [0, 2, 5] : [4];
      const input = at(x, t, rows);
      const [y, wanted] = [packed.step(input, a, rows.length === B ? undefined : rows), plain.step(input, b, rows.length === B ? undefined : rows)];
      [a, b] = [y.state, wanted.state];
      await expectClose(y.y, wanted.y, { ...close, name: `step ${t}` });
    }
    disposeState([a, b]);
    packed.dispose();
    plain.dispose();
  });

  it('cross-attention both ways', async () => {
    const [D, DG, S, L] = [12, 10, 2, 8];
    const mask = Uint8Array.of(1, 0, 0, 1, 0, 1, 1, 0);
    const pool = await pair((rng) => new CrossAttentionPool({ dModel: D, numHeads: 3, queriesPerChunk: S }, rng));
    const x = new Rng(1).normal([1, L, D]) as tf.Tensor3D;
    const seg = new Segmentation(1, L, mask, { drawnAt: 'end' });
    const ctx = new SequenceContext(1, L);
    await expectClose(pool.packed.forward(x, seg, ctx), pool.plain.forward(x, seg, ctx), close);
    const decoder = await pair((rng) => {
      const block = (i: number) => new CrossAttentionBlock({ dModel: D, numHeads: 3, slotsPerChunk: S }, rng?.fork(`${i}`));
      return new CrossAttentionDecoder(new ResidualStack([block(0), block(1)]), { dMemory: DG, slotsPerChunk: S }, rng);
    });
    const chunks = new Rng(2).normal([1, seg.maxChunks, DG]) as tf.Tensor3D;
    const listening = ctx.with({ memory: { chunks, segmentation: seg } });
    await expectClose(decoder.packed.forward(x, listening), decoder.plain.forward(x, listening), close);
    const begin = (which: 'packed' | 'plain') => ({ pool: pool[which].initState(1), decoder: decoder[which].initState(1) });
    const states = { packed: begin('packed'), plain: begin('plain') };
    for (const [t, boundary] of mask.entries()) {
      const run = (which: 'packed' | 'plain') => {
        const made = pool[which].step(at(x, t, [0]), { boundary: Uint8Array.of(boundary) }, states[which].pool);
        const heard = boundary ? decoder[which].remember(at(chunks, 0, [0]), states[which].decoder, [0]) : states[which].decoder;
        const out = decoder[which].step(at(x, t, [0]), heard) as { y: tf.Tensor2D; state: ReturnType<typeof begin>['decoder'] };
        states[which] = { pool: made.state, decoder: out.state };
        return { chunks: made.chunks, y: out.y };
      };
      const [got, wanted] = [run('packed'), run('plain')];
      expect(Boolean(got.chunks)).toBe(boundary === 1);
      if (got.chunks) await expectClose(got.chunks, wanted.chunks!, { ...close, name: `chunk at ${t}` });
      await expectClose(got.y, wanted.y, { ...close, name: `byte ${t}` });
    }
  });
});
