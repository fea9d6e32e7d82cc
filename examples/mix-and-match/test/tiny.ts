import { BYTE_VOCABULARIES, Rng, SequenceContext, type HierarchicalLM } from '@bytelm/core';
import { createEntropyModel, type EntropyModelConfig, type StackConfig } from '@bytelm/example-blt';
import { disturb, logitsOf, PASSAGE } from '@bytelm/example-shared/testing';
import { EntropyPatcher } from '@bytelm/patching';
import { buildSwap, type Bases, type Built, type Material, type Swap } from '../src/index.js';

const stack = (dModel: number, numLayers: number, window: number | null): StackConfig => ({ dModel, numLayers, numHeads: 2, numKvHeads: 2, dIntermediate: 2 * dModel, theta: 10_000, normEps: 1e-5, window });
const entropyModel: EntropyModelConfig = { ...stack(16, 1, 6), vocabSize: 260, maxPositions: 64 };

/** The smallest models that Mamba-2's heads of 64 allow: local parts 32 wide, main networks 64. */
const BASES: Bases = {
  hnet: {
    arch_layout: ['m1', ['T1'], 'm1'],
    d_model: [32, 64],
    d_intermediate: [0, 128],
    vocab_size: 256,
    ssm_cfg: { chunk_size: 16, d_conv: 4, d_state: 16, expand: 2 },
    attn_cfg: { num_heads: [2, 2], rotary_emb_dim: [16, 16], window_size: [-1, -1] },
    tie_embeddings: false,
  },
  blt: {
    vocabSize: 260,
    eosId: 2,
    encoder: stack(32, 1, 9),
    global: stack(64, 1, null),
    decoder: stack(32, 1, 7),
    crossAttention: { queriesPerChunk: 2, encoderHeads: 2, decoderHeads: 2, encoderLayers: 'last', decoderLayers: 'all', encoderWindow: null, decoderWindow: null },
    hash: { sizes: [3], vocabularySize: 61, numFunctions: 1 },
    patching: { mode: 'entropy', threshold: 0, addThreshold: null, monotonic: false, maxPatchLength: null, patchSize: 4 },
    entropyModel,
    maxBytes: 256,
    maxPatches: 128,
    initStdFactor: 'disabled',
  },
};

/** Random weights cut text somewhere, too: an entropy model that is far from uniform, and a threshold in the widest gap among its larger entropies. */
export async function tinyMaterial(): Promise<Material> {
  const model = createEntropyModel(entropyModel, { rng: new Rng(1) });
  disturb(model, new Rng(2), noise(0.4));
  const { offset, bos } = BYTE_VOCABULARIES.blt;
  const ids = Int32Array.from([bos, ...Array.from(PASSAGE, (b) => b + offset)]);
  const ctx = new SequenceContext(1, ids.length, { ids });
  const sorted = Float32Array.from(await new EntropyPatcher({ model, threshold: 1 }).entropies(ctx)).sort();
  ctx.dispose();
  const [from, to] = [Math.floor(0.6 * sorted.length), Math.floor(0.85 * sorted.length)];
  let at = from;
  for (let i = from; i < to; i++) if (sorted[i + 1]! - sorted[i]! > sorted[at + 1]! - sorted[at]!) at = i;
  return { rng: new Rng(3), entropy: { model, threshold: (sorted[at]! + sorted[at + 1]!) / 2 }, ratioTarget: 3, straightThrough: false };
}

/** A swap whose weights are not at their initial values: routers cut at uneven places, and nothing that starts at zero stays there. */
export function tinySwap(swap: Swap, material: Material): Built {
  const built = buildSwap(swap, BASES, material);
  disturb(built.model, new Rng(4), noise(0.08));
  return built;
}

const noise = (most: number) => (name: string) => (/norm|A_log|dt_bias|mixer\.D|gate/.test(name) ? 0.05 : /q_proj_layer|k_proj_layer/.test(name) ? 0.15 : most);

/** Rows of text from different places, as ids behind a BOS. */
export function textRows({ vocabulary: { offset, bos } }: Built, lengths: readonly number[]): Int32Array[] {
  return lengths.map((n, b) => Int32Array.from({ length: n }, (_, t) => (t ? offset + PASSAGE[(29 * b + t) % PASSAGE.length]! : bos)));
}

/** Logits (L·V) of a row alone, and where its outermost stage cut it. */
export async function fullPass(model: HierarchicalLM, ids: Int32Array): Promise<{ logits: Float32Array; boundaries: Uint8Array }> {
  const ctx = new SequenceContext(1, ids.length, { ids });
  const plan = await model.plan(ctx);
  const logits = await logitsOf(model, ids, ctx.with({ plan }));
  const boundaries = plan[0]!.boundaryMask.slice();
  plan.forEach((s) => s.dispose());
  return { logits, boundaries };
}
