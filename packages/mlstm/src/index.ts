// ops
export { mlstm, type MLSTMForm, type MLSTMInputs, type MLSTMOptions, type MLSTMState } from './ops/mlstm.js';
export { mlstmStep } from './ops/mlstm-step.js';
