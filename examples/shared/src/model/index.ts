export { storedAsBf16 } from './bf16.js';
export { boundaryDepths, chunkRow } from './chunk-rows.js';
export { checkCheckpoint, checkpointText, compareTensors, type CheckpointReport } from './compare-tensors.js';
export { findModel, type FindModelOptions, type FoundModel, type ModelSource, type Weights } from './find-model.js';
export { meanKeys } from './mean-keys.js';
export { startModel, withModelOptions, type LoadedModel, type ModelFamily, type ModelOptions } from './model-family.js';
export { readConfigFile, readJsonFile } from './read-config.js';
