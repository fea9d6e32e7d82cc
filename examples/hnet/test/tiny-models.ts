import * as tf from '@tensorflow/tfjs-core';
import { Rng, SequenceContext, type SequenceLM } from '@bytelm/core';
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
  const rng = new Rng(seed + 100);
  for (const [name, v] of model.parameters()) {
    const noise = /embeddings|lm_head/.test(name) ? 0.1 : /norm|A_log|dt_bias|mixer\.D/.test(name) ? 0.05 : /routing/.test(name) ? 0.15 : 0.08;
    const moved = tf.tidy(() => tf.add(v, rng.normal(v.shape, noise)));
    v.assign(moved);
    moved.dispose();
  }
  return model;
}

export const TEXT =
  'þIt was the best of times, it was the worst of times; 42 naïve foxes — and (a == b) { return 7; } 漢字 followed, twice over, in the spring of hope.';

/** Ids of the start of TEXT, cut at byte lengths. */
export function textIds(lengths: number[], from = 0): Int32Array[] {
  const bytes = new TextEncoder().encode(TEXT.slice(1));
  return lengths.map((n, i) => Int32Array.from({ length: n }, (_, t) => (t === 0 ? 254 : bytes[(from + 7 * i + t) % bytes.length]!)));
}

/** Rows of different lengths, right-padded to the longest (plus `extra`), with garbage as padding. */
export function padded(rows: Int32Array[], extra = 0): { ids: Int32Array; ctx: SequenceContext; length: number } {
  const length = Math.max(...rows.map((r) => r.length)) + extra;
  const ids = new Int32Array(rows.length * length).fill(113);
  rows.forEach((r, b) => ids.set(r, b * length));
  return { ids, length, ctx: new SequenceContext(rows.length, length, { ids, lengths: rows.map((r) => r.length) }) };
}

/** Logits of each row alone, (n, V) on the host. */
export async function logitsOfEach(model: SequenceLM, rows: Int32Array[]): Promise<Float32Array[]> {
  const out: Float32Array[] = [];
  for (const ids of rows) {
    const ctx = new SequenceContext(1, ids.length, { ids });
    const y = await model.logits(ids, ctx);
    out.push(Float32Array.from(await y.data()));
    y.dispose();
    ctx.dispose();
  }
  return out;
}

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let worst = 0;
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const d = Math.abs(a[i]! - b[i]!);
    worst = d > worst || Number.isNaN(d) ? d : worst;
  }
  return worst;
}
