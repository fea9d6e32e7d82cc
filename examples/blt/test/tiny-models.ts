import * as tf from '@tensorflow/tfjs-core';
import { Rng, SequenceContext, type HierarchicalLM, type SequenceLM } from '@bytelm/core';
import { createBLT, createEntropyModel, entropyModelOf, type BLTConfig, type BLTOptions, type StackConfig } from '../src/index.js';

const stack = (dModel: number, numLayers: number, numHeads: number, rest: Partial<StackConfig> = {}): StackConfig => ({
  dModel,
  numLayers,
  numHeads,
  numKvHeads: numHeads,
  dIntermediate: 2 * dModel,
  theta: 500_000,
  normEps: 1e-5,
  window: 9,
  ...rest,
});

const base: BLTConfig = {
  vocabSize: 260,
  eosId: 2,
  encoder: stack(16, 1, 2),
  global: stack(32, 2, 4, { numKvHeads: 2, window: null }),
  decoder: stack(16, 2, 2, { window: 7 }),
  crossAttention: { queriesPerChunk: 2, encoderHeads: 2, decoderHeads: 4, encoderLayers: 'last', decoderLayers: 'all', encoderWindow: null, decoderWindow: null },
  hash: { sizes: [3, 5], vocabularySize: 61, numFunctions: 2 },
  patching: { mode: 'entropy', threshold: 4.134629726, addThreshold: null, monotonic: false, maxPatchLength: null, patchSize: 4 },
  entropyModel: { ...stack(16, 1, 2, { theta: 10_000, window: 6 }), vocabSize: 260, maxPositions: 64 },
  maxBytes: 256,
  maxPatches: 128,
  initStdFactor: 'disabled',
};

/** One of each kind: windows that overflow, grouped heads, with and without input projection, all layers read out, a longest patch, space patches. */
export const TINY: Record<string, BLTConfig> = {
  entropy: base,
  'all layers, projected': {
    ...base,
    encoder: stack(16, 2, 2, { window: 5 }),
    global: stack(24, 2, 2, { window: null }),
    crossAttention: { ...base.crossAttention, queriesPerChunk: 3, encoderLayers: 'all', decoderLayers: 'first' },
    patching: { ...base.patching, maxPatchLength: 6 },
  },
  space: { ...base, patching: { ...base.patching, mode: 'space' }, entropyModel: null },
};

/**
 * A tiny model with random weights that are not at their initial values, so that nothing is tested in a special position. The thresholds above
 * cut TEXT into patches of uneven lengths, with a gap to the nearest entropy that is far beyond rounding.
 */
export function tinyModel(kind: string, seed = 1, options: BLTOptions = {}): HierarchicalLM {
  const config = TINY[kind]!;
  const rng = new Rng(seed);
  const entropyModel = config.entropyModel ? createEntropyModel(config.entropyModel, { rng: rng.fork('entropy') }) : undefined;
  if (entropyModel) disturb(entropyModel, new Rng(seed + 200), 0.4);
  const model = createBLT(config, { rng, entropyModel, ...options });
  disturb(model, new Rng(seed + 100), 0.08);
  return model;
}

/** The model and the entropy model it patches with, which is no part of it. */
export function disposeTiny(model: HierarchicalLM): void {
  if ('model' in model.parts.chunker) entropyModelOf(model).dispose();
  model.dispose();
}

function disturb(model: SequenceLM, rng: Rng, noise: number): void {
  for (const [name, v] of model.parameters()) {
    const moved = tf.tidy(() => tf.add(v, rng.normal(v.shape, /norm/.test(name) ? 0.05 : noise)));
    v.assign(moved);
    moved.dispose();
  }
}

const TEXT =
  'It was the best of times, it was the worst of times; 42 naïve foxes — and (a == b) { return 7; } 漢字 followed, twice over, in the spring of hope.';
const BYTES = new TextEncoder().encode(TEXT);

/**
 * Ids of parts of a text, behind a BOS. Rows of some length hold a document end: EOS and BOS after a third of the row.
 * @param endsFrom Rows of at least so many ids have one. Default: none.
 */
export function textIds(lengths: readonly number[], endsFrom = Infinity): Int32Array[] {
  return lengths.map((n, i) => {
    const row = Int32Array.from({ length: n }, (_, t) => (t === 0 ? 1 : 4 + BYTES[(17 * i + t) % BYTES.length]!));
    if (n >= endsFrom) row.set([2, 1], Math.floor(n / 3) + i);
    return row;
  });
}

/** Rows of different lengths, right-padded to the longest (plus `extra`), with garbage as padding. */
export function padded(rows: readonly Int32Array[], extra = 0): { ids: Int32Array; ctx: SequenceContext; length: number } {
  const length = Math.max(...rows.map((r) => r.length)) + extra;
  const ids = new Int32Array(rows.length * length).fill(113);
  rows.forEach((r, b) => ids.set(r, b * length));
  return { ids, length, ctx: new SequenceContext(rows.length, length, { ids, lengths: rows.map((r) => r.length) }) };
}

/** Logits of each row alone, (n, V) on the host. */
export async function logitsOfEach(model: SequenceLM, rows: readonly Int32Array[]): Promise<Float32Array[]> {
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
