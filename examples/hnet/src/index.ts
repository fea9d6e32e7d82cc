export { resolveHNetConfig, parseStack, type ArchLayout, type BlockLetter, type HNetConfig, type SsmConfig } from './config.js';
export { createHNet, numStages, stageOfParameter, type HNetOptions } from './model.js';
export { HNET_PRESETS, type HNetPreset } from './presets.js';
export { isotropic } from './isotropic.js';
