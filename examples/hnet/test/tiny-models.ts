import { Rng, type SequenceLM } from '@bytelm/core';
import { disturb, PASSAGE } from '@bytelm/example-shared/testing';
import { createHNet, type HNetConfig, type HNetOptions } from '../src/index.js';

const shared = {
  vocab_size: 256,
  ssm_cfg: { chunk_size: 16, d_conv: 4, d_state: 16, expand: 2 },
  tie_embeddings: false,
};

/** One of each kind: all four letters, windows, one and two stages, and both isotropic models. */
export const TINY: Record<string, { config: HNetConfig; ratioTargets: number[] }> = {
  'one stage': {
    config: {
      ...shared,
      arch_layout: ['m1t1', ['T1M1'], 'm1'],
      d_model: [32, 64],
      d_intermediate: [0, 128],
      attn_cfg: { num_heads: [2, 2], rotary_emb_dim: [16, 16], window_size: [9, -1] },
    },
    ratioTargets: [3],
  },
  'two stages': {
    config: {
      ...shared,
      arch_layout: ['m1', ['T1m1', ['T1'], 'm1'], 'm1'],
      d_model: [32, 32, 64],
      d_intermediate: [0, 128, 128],
      attn_cfg: { num_heads: [2, 2, 2], rotary_emb_dim: [16, 16, 16], window_size: [7, 5, -1] },
    },
    ratioTargets: [2, 2],
  },
  mambabyte: {
    config: { ...shared, arch_layout: ['m2'], d_model: [32], d_intermediate: [0], attn_cfg: { num_heads: [2], rotary_emb_dim: [16], window_size: [-1] } },
    ratioTargets: [],
  },
  llamabyte: {
    config: { ...shared, arch_layout: ['T2'], d_model: [32], d_intermediate: [128], attn_cfg: { num_heads: [2], rotary_emb_dim: [16], window_size: [7] } },
    ratioTargets: [],
  },
};

/**
 * A tiny model with random weights that are not at their initial values: routers cut at uneven places and residual projections are not
 * zero, so that nothing is tested in a special position.
 */
export function tinyModel(kind: string, seed = 1, options: HNetOptions = {}): SequenceLM {
  const { config, ratioTargets } = TINY[kind]!;
  const model = createHNet(config, { rng: new Rng(seed), ratioTargets, ...options });
  disturb(model, new Rng(seed + 100), (name) => (/embeddings|lm_head/.test(name) ? 0.1 : /norm|A_log|dt_bias|mixer\.D/.test(name) ? 0.05 : /routing/.test(name) ? 0.15 : 0.08));
  return model;
}

/** Ids of parts of a text, behind a BOS. */
export function textIds(lengths: number[], from = 0): Int32Array[] {
  return lengths.map((n, i) => Int32Array.from({ length: n }, (_, t) => (t === 0 ? 254 : PASSAGE[(from + 7 * i + t) % PASSAGE.length]!)));
}
