// ops
export { causalConv1d, causalConv1dStep, type CausalConv1dOptions } from './ops/causal-conv1d.js';
export { ssd, type SsdOptions, type SsdParameters } from './ops/ssd.js';
export { ssdStep } from './ops/ssd-step.js';
export { ssdVarlenStates } from './ops/ssd-varlen-states.js';
