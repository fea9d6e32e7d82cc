// ops
export { causalConv1d, causalConv1dStep, type CausalConv1dOptions } from './ops/causal-conv1d.js';
export { ssd, type SsdOptions, type SsdParameters } from './ops/ssd.js';
export { ssdStep } from './ops/ssd-step.js';
export { ssdVarlenStates } from './ops/ssd-varlen-states.js';
// modules
export { Mamba2, type Mamba2State } from './modules/mamba2.js';
export { Mamba2Block, type Mamba2BlockConfig, type PositionWise } from './modules/mamba2-block.js';
export { mamba2Stack, type Mamba2StackConfig } from './modules/mamba2-stack.js';
// language models
export { HF_KEY_MAP, Mamba2LM } from './lm/mamba2-lm.js';
export { fromHfConfig, fromParamsJson, fromPublishedConfig, fromStateSpacesConfig, type Mamba2LMConfig } from './lm/lm-config.js';
// config
export { resolveMamba2Config, type Mamba2Config, type ResolvedMamba2Config } from './config.js';
