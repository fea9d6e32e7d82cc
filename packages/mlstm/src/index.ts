// ops
export { mlstm, type MLSTMForm, type MLSTMInputs, type MLSTMOptions, type MLSTMState } from './ops/mlstm.js';
export { mlstmStep } from './ops/mlstm-step.js';
// modules
export { GatedMlp } from './modules/gated-mlp.js';
export { MLSTMBlock, type MLSTMBlockConfig } from './modules/mlstm-block.js';
export { MLSTMLayer, type BlockParts } from './modules/mlstm-layer.js';
export { mlstmStack, type MLSTMStackConfig } from './modules/mlstm-stack.js';
// config
export { resolveMLSTMConfig, type MLSTMConfig, type ResolvedMLSTMConfig } from './config.js';
