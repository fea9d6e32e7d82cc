/** BLT: models, configurations and checkpoints in both published layouts. */
export * from './config/index.js';
export { BLT_PRESETS, ENTROPY_PRESETS, type BLTPreset, type EntropyModelPreset } from './presets.js';
export { createBLT, createEntropyModel, entropyModelOf, type BLTOptions } from './model.js';
export { createPatcher, type PatcherOptions } from './patcher.js';
export * from './checkpoint/index.js';
export { BLT_KEYS, ENTROPY_KEYS } from './key-maps.js';
export { entropyParameterShapes, parameterShapes } from './parameter-shapes.js';
export { entropyFlops, flopsPerByte, type FlopsOptions, type FlopsPerByte } from './flops.js';
export { speculate, type SpeculateOptions, type SpeculationReport } from './speculate.js';
export { synthCheckpoint, type SynthOptions, type SynthReport } from './synth-checkpoint.js';
export { knownAnswer, type KnownAnswerReport } from './known-answer.js';
