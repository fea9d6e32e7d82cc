import { Rng, type HierarchicalLM } from '@bytelm/core';
import { disturb, PASSAGE } from '@bytelm/example-shared/testing';
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
 * cut the text into patches of uneven lengths, with a gap to the nearest entropy that is far beyond rounding.
 */
export function tinyModel(kind: string, seed = 1, options: BLTOptions = {}): HierarchicalLM {
  const config = TINY[kind]!;
  const rng = new Rng(seed);
  const entropyModel = config.entropyModel ? createEntropyModel(config.entropyModel, { rng: rng.fork('entropy') }) : undefined;
  if (entropyModel) disturb(entropyModel, new Rng(seed + 200), noise(0.4));
  const model = createBLT(config, { rng, entropyModel, ...options });
  disturb(model, new Rng(seed + 100), noise(0.08));
  return model;
}

/** The model and the entropy model it patches with, which is no part of it. */
export function disposeTiny(model: HierarchicalLM): void {
  if ('model' in model.parts.chunker) entropyModelOf(model).dispose();
  model.dispose();
}

const noise = (most: number) => (name: string) => (/norm/.test(name) ? 0.05 : most);

/**
 * Ids of parts of a text, behind a BOS. Rows of some length hold a document end: EOS and BOS after a third of the row.
 * @param endsFrom Rows of at least so many ids have one. Default: none.
 */
export function textIds(lengths: readonly number[], endsFrom = Infinity): Int32Array[] {
  return lengths.map((n, i) => {
    const row = Int32Array.from({ length: n }, (_, t) => (t === 0 ? 1 : 4 + PASSAGE[(17 * i + t) % PASSAGE.length]!));
    if (n >= endsFrom) row.set([2, 1], Math.floor(n / 3) + i);
    return row;
  });
}
