import type { BLTConfig, EntropyModelConfig, PatchingConfig } from './types.js';

/** What published files leave out: the values of the 1B model. */
export const PUBLISHED = {
  vocabSize: 260,
  eosId: 2,
  theta: 500_000,
  entropyTheta: 10_000,
  normEps: 1e-5,
  window: 512,
  maxBytes: 24_576,
  maxPatches: 4096,
  entropyMaxPositions: 8192,
  multipleOf: 256,
  hashSizes: [3, 4, 5, 6, 7, 8],
  hashVocabulary: 500_002,
  threshold: 1.335442066192627,
} as const;

export const DEFAULT_PATCHING: PatchingConfig = { mode: 'entropy', threshold: PUBLISHED.threshold, addThreshold: null, monotonic: false, maxPatchLength: null, patchSize: 4.5 };

/** Contradictions between values that each are fine. */
export function contradictions(config: BLTConfig): string[] {
  const { crossAttention: cross, encoder, decoder, global, patching, hash, entropyModel } = config;
  const problems = [...stackProblems('encoder', encoder), ...stackProblems('global', global), ...stackProblems('decoder', decoder)];
  if (encoder.dModel !== decoder.dModel) problems.push(`the decoder's width ${decoder.dModel} must be the encoder's, ${encoder.dModel}: it starts from the encoder's output`);
  for (const [which, heads, d] of [['encoder', cross.encoderHeads, encoder.dModel], ['decoder', cross.decoderHeads, decoder.dModel]] as const) {
    if (d % heads) problems.push(`${which}: ${heads} cross-attention heads do not divide the width ${d}`);
  }
  if (cross.encoderWindow !== null || cross.decoderWindow !== null) {
    problems.push(`cross-attention over ${cross.encoderWindow ?? 1} and ${cross.decoderWindow ?? 1} patches: only the own patch is supported, as in every release`);
  }
  if (global.window !== null) problems.push(`the main network sees all patches, a window of ${global.window} is not supported`);
  if (new Set(hash.sizes).size !== hash.sizes.length) problems.push(`hash n-gram sizes ${hash.sizes.join(', ')}: each at most once`);
  if (config.eosId >= config.vocabSize) problems.push(`EOS id ${config.eosId} is outside of the vocabulary of ${config.vocabSize}`);
  if (patching.mode === 'static' && !Number.isInteger(patching.patchSize)) problems.push(`patch size ${patching.patchSize}: static patches need a whole number`);
  if (patching.monotonic && patching.addThreshold !== null) problems.push('monotonic patching and an added threshold exclude each other');
  if (entropyModel) {
    problems.push(...entropyProblems(entropyModel));
    if (entropyModel.vocabSize !== config.vocabSize) problems.push(`the entropy model has ${entropyModel.vocabSize} ids, the model ${config.vocabSize}`);
  }
  return problems;
}

export const entropyProblems = (config: EntropyModelConfig): string[] => stackProblems('entropy model', config);

function stackProblems(name: string, s: BLTConfig['encoder']): string[] {
  const problems: string[] = [];
  if (s.dModel % s.numHeads) problems.push(`${name}: ${s.numHeads} heads do not divide the width ${s.dModel}`);
  else if ((s.dModel / s.numHeads) % 2) problems.push(`${name}: heads of ${s.dModel / s.numHeads} channels, an even number is needed to rotate pairs`);
  if (s.numHeads % s.numKvHeads) problems.push(`${name}: ${s.numKvHeads} key/value heads do not divide ${s.numHeads} heads`);
  return problems;
}
