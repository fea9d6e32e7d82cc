import * as tf from '@tensorflow/tfjs-core';
import { Rng, SequenceContext } from '@bytelm/core';
import { backendsForTest, expectClose, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { depthInit } from './initialization.js';
import { LatentTransformer, type LatentTransformerConfig } from './latent-transformer.js';
import { feedForwardWidth } from './swiglu.js';
import { TransformerBlock } from './transformer-block.js';

const BASE = { dModel: 12, numLayers: 2, numHeads: 4, numKvHeads: 2, headDim: 4, dIntermediate: 10, initStd: 0.3, outInitStd: 0.3 } as const;
const input = (B: number, L: number, D: number, seed = 1) => new Rng(seed).normal([B, L, D]) as tf.Tensor3D;
const rowsOf = (x: tf.Tensor3D, t: number) => tf.reshape(tf.slice(x, [0, t, 0], [x.shape[0], 1, x.shape[2]]), [x.shape[0], x.shape[2]]) as tf.Tensor2D;

describe.each(backendsForTest())('layouts on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it('separate matrices compute what a fused one does', async () => {
    const fused = new LatentTransformer({ ...BASE, swigluOrder: 'gate-value' }, new Rng(1));
    const separate = new LatentTransformer({ ...BASE, names: 'meta' });
    fused.blocks.forEach((block, i) => {
      const other = separate.blocks[i]!;
      const parts = (w: tf.Variable, sizes: number[]) => tf.split(w, sizes, 0);
      parts(block.mixer.projection.linears[0].weight, [16, 8, 8]).forEach((w, n) => other.mixer.projection.linears[n]!.weight.assign(w));
      parts(block.mlp!.inputs[0].weight, [10, 10]).forEach((w, n) => other.mlp!.inputs[n]!.weight.assign(w));
      other.mixer.outProj.weight.assign(block.mixer.outProj.weight as tf.Tensor);
      other.mlp!.down.weight.assign(block.mlp!.down.weight as tf.Tensor);
    });
    const x = input(2, 7, 12);
    const expected = fused.forward(x, new SequenceContext(2, 7));
    await expectClose(separate.forward(x, new SequenceContext(2, 7)), expected, { atol: 1e-5 });
    let state = separate.initState(2);
    for (let t = 0; t < 7; t++) {
      const out = separate.step(rowsOf(x, t), state);
      state = out.state;
      await expectClose(out.y, rowsOf(expected, t), { atol: 1e-5 });
    }
  });

  it('projects inputs of another width and can end without a norm', async () => {
    const model = new LatentTransformer({ ...BASE, dInput: 20, finalNorm: false, names: 'meta' }, new Rng(2));
    expect([model.dModel, model.dOut]).toEqual([20, 12]);
    expect(model.parameters().get('token_embedding_projection.weight')!.shape).toEqual([12, 20]);
    const x = input(2, 5, 20);
    const y = model.forward(x, new SequenceContext(2, 5));
    const inside = model.inputProjection!.forward(x);
    let pair: { hidden: tf.Tensor3D; residual?: tf.Tensor3D } = { hidden: inside };
    for (const block of model.blocks) pair = block.forward(pair, new SequenceContext(2, 5));
    await expectClose(y, tf.add(pair.hidden, pair.residual!), { atol: 1e-6 });
    const first = model.prefill(tf.slice(x, [0, 0, 0], [2, 4, 20]), model.initState(2), new SequenceContext(2, 4));
    await expectClose(first.y, tf.slice(y, [0, 0, 0], [2, 4, 12]), { atol: 1e-5 });
    await expectClose(model.step(rowsOf(x, 4), first.state).y, rowsOf(y, 4), { atol: 1e-5 });
  });

  it.each<[string, Partial<LatentTransformerConfig>, number]>([
    ['without a window', {}, 5],
    ['in a ring without slack, one', { windowSize: 3 }, 1],
    ['in a ring with slack', { windowSize: 3, cacheSlack: 5, names: 'llama' }, 6],
  ])('drafts are taken back exactly, %s', async (_, options, reach) => {
    const model = new LatentTransformer({ ...BASE, ...options, cacheCapacity: 2 }, new Rng(3));
    const L = 16;
    const x = input(2, L, 12, 4);
    const drafts = input(2, L, 12, 5);
    const full = model.forward(x, new SequenceContext(2, L));
    let state = model.initState(2);
    for (let t = 0; t < L; t++) {
      // Row 0 drafts up to `reach` positions, row 1 one less; both go back to where they were.
      const n = 1 + (t % reach);
      for (let i = 0; i < n; i++) state = model.step(tf.slice(rowsOf(drafts, (t + i) % L), [0, 0], [i < n - 1 ? 2 : 1, 12]), state, i < n - 1 ? undefined : [0]).state;
      state = model.rollback(state, n > 1 ? [0, 1] : [0], n > 1 ? [n, n - 1] : [n]);
      const out = model.step(rowsOf(x, t), state);
      state = out.state;
      await expectClose(out.y, rowsOf(full, t), { atol: 1e-5, name: `position ${t} after ${n} drafts` });
    }
    if (options.windowSize !== undefined) expect(() => model.rollback(state, [1], [reach + 1])).toThrow(/Hint: more `slack`/);
  });

  it('startDocument in some rows equals packed documents', async () => {
    const model = new LatentTransformer({ ...BASE, windowSize: [2, -1], cacheSlack: 1, names: 'olmo', qkNorm: 'all-heads' }, new Rng(6));
    const starts = [[4, 5], [9]];
    const documentIds = Int32Array.from(starts.flatMap((row) => Array.from({ length: 12 }, (_, t) => row.filter((s) => s <= t).length)));
    const x = input(2, 12, 12, 7);
    const packed = model.forward(x, new SequenceContext(2, 12, { documentIds }));
    let state = model.initState(2);
    for (let t = 0; t < 12; t++) {
      const rows = [0, 1].filter((b) => starts[b]!.includes(t));
      if (rows.length) state = model.startDocument(state, rows);
      const out = model.step(rowsOf(x, t), state);
      state = out.state;
      await expectClose(out.y, rowsOf(packed, t), { atol: 1e-5, name: `position ${t}` });
    }
  });
});

describe('layouts', () => {
  beforeAll(() => useBackend('cpu'));

  it.each([
    ['hnet', ['norm1', 'mixer.Wqkv', 'mixer.out_proj', 'norm2', 'mlp.fc1', 'mlp.fc2']],
    ['meta', ['attention_norm', 'attention.wq', 'attention.wk', 'attention.wv', 'attention.wo', 'ffn_norm', 'feed_forward.w1', 'feed_forward.w3', 'feed_forward.w2']],
    ['llama', ['input_layernorm', 'self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj', 'post_attention_layernorm', 'mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj']],
    ['olmo', ['post_attention_layernorm', 'self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj', 'post_feedforward_layernorm', 'mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj']],
  ] as const)('%s has its published names', (names, expected) => {
    const block = new TransformerBlock({ dModel: 4, numHeads: 2, dIntermediate: 6, names });
    expect([...block.parameters().keys()]).toEqual(expected.map((n) => `${n}.weight`));
    expect(block.postNorm).toBe(names === 'olmo');
  });

  it('takes any table of names', () => {
    const names = { norm1: 'a', mixer: 'm', attention: { q: 'q', k: 'k', v: 'v', o: 'o', qNorm: 'nq', kNorm: 'nk' }, norm2: 'b', mlp: 'f', swiglu: { gateUp: 'gu', down: 'd' } };
    const block = new TransformerBlock({ dModel: 8, numHeads: 2, dIntermediate: 6, names, qkNorm: 'per-head', qkvBias: true });
    const shapes = Object.fromEntries([...block.parameters()].map(([n, p]) => [n, p.shape]));
    expect(shapes).toEqual({
      'a.weight': [8], 'b.weight': [8], 'm.q.weight': [8, 8], 'm.q.bias': [8], 'm.k.weight': [8, 8], 'm.k.bias': [8], 'm.v.weight': [8, 8], 'm.v.bias': [8],
      'm.nq.weight': [4], 'm.nk.weight': [4], 'm.o.weight': [8, 8], 'f.gu.weight': [12, 8], 'f.d.weight': [8, 6],
    });
  });

  it('widths of BLT’s and Llama’s MLPs', () => {
    expect([768, 1024, 1280, 2048, 4096].map((d) => feedForwardWidth(d))).toEqual([2048, 2816, 3584, 5632, 11008]);
    expect(feedForwardWidth(4096, { multiplier: 1.3, multipleOf: 1024 })).toBe(14336);
  });

  it('draws weights as BLT does: cut at three standard deviations that depend on width and depth', async () => {
    const model = new LatentTransformer({ dModel: 64, dInput: 100, numLayers: 3, numHeads: 4, dIntermediate: 172, names: 'meta', initStdFactor: 'current_depth' }, new Rng(8));
    for (const [name, p] of model.parameters()) {
      if (name.endsWith('norm.weight')) continue;
      const layer = Number(/layers\.(\d)/.exec(name)?.[1] ?? -0.5);
      const std = (name.includes('w2') ? 172 : name.includes('token') ? 100 : 64) ** -0.5 / Math.sqrt(2 * (layer + 1));
      const values = (await p.data()) as Float32Array;
      const seen = Math.sqrt(values.reduce((a, v) => a + v * v, 0) / values.length);
      expect(Math.max(...values.map(Math.abs)) / std).toBeLessThanOrEqual(3.000001);
      // The cut takes 1.3 % off the standard deviation.
      expect(seen / std).toBeGreaterThan(0.95);
      expect(seen / std).toBeLessThan(1.03);
    }
    expect(depthInit({ dModel: 4096, dIntermediate: 0, layer: 0, numLayers: 7 }, 'global_depth').initStd).toBeCloseTo(1 / 64 / 4, 12);
    expect(depthInit({ dModel: 2048, dIntermediate: 5632, layer: 0, numLayers: 7 }, 'dim_ratio').downInitStd).toBeCloseTo(2 / Math.sqrt(5632), 12);
  });

  it('refuses unknown names and placements', () => {
    const config = { dModel: 4, numHeads: 2 };
    expect(() => new TransformerBlock({ ...config, names: 'gpt' as never })).toThrow(/expected one of hnet, meta, llama, olmo/);
    expect(() => new TransformerBlock({ ...config, normPlacement: 'both' as never })).toThrow(/expected 'pre' or 'post', got "both"/);
    expect(() => new TransformerBlock({ ...config, qkNorm: 'yes' as never, headDim: 2.5 })).toThrow(/headDim 2\.5 is not a positive whole number.*qkNorm "yes"/);
    expect(() => new LatentTransformer({ ...config, numLayers: 2, rotaryScaling: [null] })).toThrow(/one for each of 2, got 1/);
    expect(() => new LatentTransformer({ ...config, numLayers: 2, initStdFactor: 'none' as never })).toThrow(/expected one of disabled/);
  });
});
