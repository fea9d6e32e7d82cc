export { parseBLTConfig, parseEntropyConfig, resolveBLTConfig } from './parse.js';
export { writeBLTConfig, writeEntropyConfig, type WrittenConfig } from './write.js';
export { DEFAULT_PATCHING } from './defaults.js';
export type {
  BLTConfig,
  ConfigFormat,
  CrossAttentionConfig,
  EntropyModelConfig,
  HashConfig,
  InitStdFactor,
  ParsedConfig,
  PatchingConfig,
  PatchingMode,
  StackConfig,
} from './types.js';
