import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HierarchicalLM } from '@bytelm/core';
import { useBackend } from '@bytelm/core/testing';
import { CrossAttentionPool } from '@bytelm/latent-transformer';
import { mamba2Stack } from '@bytelm/mamba2';
import { SpacePatcher } from '@bytelm/patching';
import { buildSwap, swapByName, SWAPS, type Material } from '../src/index.js';
import { tinyMaterial, tinySwap } from './tiny.js';

let material: Material;
beforeAll(async () => {
  await useBackend('cpu');
  material = await tinyMaterial();
});
afterAll(() => material.entropy.model.dispose());

describe('swaps', () => {
  it('take one object each, but for those that need two or three', () => {
    const replaced = SWAPS.map((swap) => {
      const built = tinySwap(swap, material);
      built.model.dispose();
      return `${swap.name}: ${built.replaced.join(', ') || '-'}`;
    });
    expect(replaced).toEqual([
      'hnet: -',
      'hnet-entropy: chunker',
      'hnet-space: chunker',
      'hnet-attention-encoder: encoder',
      'hnet-attention: encoder, decoder',
      'hnet-cross-attention-pool: downsample',
      'hnet-cross-attention: downsample, upsample, decoder',
      'hnet-mlstm: encoder, decoder',
      'blt: -',
      'blt-routing: chunker',
      'blt-routing-smoothing: chunker, upsample',
      'blt-mamba2-main: main',
      'blt-hnet-main: main',
      'blt-mlstm-encoder: encoder',
    ]);
  });

  it('have names', () => expect(() => swapByName('hnet-blt')).toThrow("[mix-and-match] swap 'hnet-blt': expected one of hnet, hnet-entropy, "));
});

describe('parts that do not fit are named, both of them', () => {
  const withParts = (name: string, change: (model: HierarchicalLM) => Partial<HierarchicalLM['parts']>) => {
    const { model } = tinySwap(swapByName(name), material);
    try {
      return () => new HierarchicalLM({ ...model.parts, ...change(model) }, model.options);
    } finally {
      model.dispose();
    }
  };

  it('chunks as wide as two queries, for a main network that takes one', () => {
    const make = withParts('hnet', () => ({ downsample: new CrossAttentionPool({ dModel: 32, numHeads: 2, queriesPerChunk: 2 }) }));
    expect(make).toThrow('[HierarchicalStage] parts do not fit: a chunk of downsample CrossAttentionPool has width 64, main network PadWidth 32.');
  });

  it("a main network that gives what BLT's decoder does not take", () => {
    const make = withParts('blt', ({ parts }) => ({ main: Object.assign(mamba2Stack({ dModel: parts.main.dModel, nLayers: 1 }), { dOut: 96 }) }));
    expect(make).toThrow('main network ResidualStack has width 96, what decoder CrossAttentionDecoder attends to 64.');
  });

  it("H-Net's upsampler for BLT's wider main network", () => {
    const make = withParts('blt', () => ({ upsample: tinySwap(swapByName('hnet'), material).model.parts.upsample }));
    expect(make).toThrow('main network LatentTransformer has width 64, what upsample DeChunkLayer reads 32.');
  });

  it('a patcher inside of a main network, where there are no ids', () => {
    const hnetMain = tinySwap(swapByName('blt-hnet-main'), material).model.parts.main;
    expect(hnetMain).toHaveProperty('parts');
    const { parts } = hnetMain as unknown as { parts: HierarchicalLM['parts'] };
    const Stage = hnetMain.constructor as new (p: object) => HierarchicalLM['parts']['main'];
    const make = withParts('blt', () => ({ main: new Stage({ ...parts, chunker: new SpacePatcher() }) }));
    expect(make).toThrow('chunker SpacePatcher of the inner stage reads ids, which only the outermost stage has.');
  });

  it('a base with nothing to swap', () => {
    const bases = { hnet: { arch_layout: ['T1'], d_model: [32], d_intermediate: [64], vocab_size: 256, ssm_cfg: { chunk_size: 16, d_conv: 4, d_state: 16, expand: 2 }, attn_cfg: { num_heads: [2], rotary_emb_dim: [16], window_size: [-1] }, tie_embeddings: false } };
    expect(() => buildSwap(swapByName('hnet'), bases as never, material)).toThrow('[mix-and-match] this H-Net has one stack only, there are no parts to swap.');
  });
});
