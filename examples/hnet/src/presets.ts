import type { ArchLayout, HNetConfig } from './config.js';

/** A configuration with what training it needs to know. */
export interface HNetPreset {
  config: HNetConfig;
  /** Target positions per chunk of each stage for the ratio loss, outermost first. */
  ratioTargets: number[];
  /** Hugging Face repository with published weights. */
  repo?: string;
  description: string;
}

/** The settings all published models share. */
function published(arch_layout: ArchLayout, d_model: number[], d_intermediate: number[], rotary_emb_dim: number[], window_size: number[]): HNetConfig {
  return {
    arch_layout,
    d_model,
    d_intermediate,
    vocab_size: 256,
    ssm_cfg: { chunk_size: 256, d_conv: 4, d_state: 128, expand: 2 },
    attn_cfg: { num_heads: d_model.map(() => 16), rotary_emb_dim, window_size },
    tie_embeddings: false,
  };
}

/** Small models of this repository: heads of 64 channels (or as given), full causal main network. */
function small(arch_layout: ArchLayout, d_model: number[], d_intermediate: number[], num_heads: number[], rotary_emb_dim: number[], window_size: number[], d_state = 128): HNetConfig {
  return {
    arch_layout,
    d_model,
    d_intermediate,
    vocab_size: 256,
    ssm_cfg: { chunk_size: 64, d_conv: 4, d_state, expand: 2 },
    attn_cfg: { num_heads, rotary_emb_dim, window_size },
    tie_embeddings: false,
  };
}

const twoStageXL = (main: string) =>
  published(['m4', ['T1m4', [main], 'm4T1'], 'm4'], [1024, 1536, 2048], [0, 4096, 5504], [32, 48, 64], [1023, 1023, -1]);

export const HNET_PRESETS: Readonly<Record<string, HNetPreset>> = {
  hnet_1stage_L: {
    config: published(['m4', ['T22'], 'm4'], [1024, 1536], [0, 4096], [32, 48], [1023, -1]),
    ratioTargets: [6],
    repo: 'cartesia-ai/hnet_1stage_L',
    description: 'published, 680 M parameters, English',
  },
  hnet_1stage_XL: {
    config: published(['m4', ['T24'], 'm4'], [1024, 2048], [0, 5504], [32, 64], [1023, -1]),
    ratioTargets: [6],
    repo: 'cartesia-ai/hnet_1stage_XL',
    description: 'published, 1.3 B parameters, English',
  },
  hnet_2stage_L: {
    config: published(['m4', ['T1m4', ['T26'], 'm4T1'], 'm4'], [1024, 1024, 1536], [0, 2816, 4096], [32, 32, 48], [1023, 1023, -1]),
    ratioTargets: [3, 3],
    repo: 'cartesia-ai/hnet_2stage_L',
    description: 'published, 870 M parameters, English',
  },
  hnet_2stage_XL: { config: twoStageXL('T27'), ratioTargets: [3, 3], repo: 'cartesia-ai/hnet_2stage_XL', description: 'published, 1.6 B parameters, English' },
  hnet_2stage_XL_chinese: {
    config: twoStageXL('T30'),
    ratioTargets: [3, 3],
    repo: 'cartesia-ai/hnet_2stage_XL_chinese',
    description: 'published, 1.8 B parameters, Chinese',
  },
  hnet_2stage_XL_code: { config: twoStageXL('T28'), ratioTargets: [3, 3], repo: 'cartesia-ai/hnet_2stage_XL_code', description: 'published, 1.7 B parameters, code' },
  demo: {
    config: small(['m2', ['T2'], 'm2'], [128, 192], [0, 512], [2, 3], [32, 32], [1023, -1], 64),
    ratioTargets: [4.5],
    description: '1.5 M parameters: the demo, trains on a laptop core',
  },
  'hnet-1stage-8M': {
    config: small(['m2', ['T5'], 'm2'], [192, 320], [0, 896], [3, 5], [32, 32], [1023, -1]),
    ratioTargets: [4.5],
    description: '7.7 M parameters',
  },
  'hnet-1stage-40M': {
    config: small(['m3', ['T7'], 'm3'], [320, 640], [0, 1792], [5, 10], [32, 32], [1023, -1]),
    ratioTargets: [4.5],
    description: '40 M parameters',
  },
  'hnet-2stage-12M': {
    config: small(['m2', ['T1m2', ['T4'], 'm2T1'], 'm2'], [160, 256, 384], [0, 768, 1024], [5, 4, 6], [16, 32, 32], [1023, 1023, -1]),
    ratioTargets: [2.8, 2.5],
    description: '12 M parameters, two stages',
  },
  'mambabyte-8M': { config: small(['m16'], [256], [0], [4], [32], [1023]), ratioTargets: [], description: '7.6 M parameters, Mamba-2 over bytes, no chunks' },
  'llamabyte-8M': { config: small(['T9'], [256], [768], [4], [32], [1023]), ratioTargets: [], description: '7.8 M parameters, Transformer over bytes, no chunks' },
};
