export { HierarchicalStage, firedByStage, type StageNames, type StageParts, type StageState } from './stage.js';
export {
  SequenceLM,
  type AuxiliaryLoss,
  type SequenceLMOptions,
  type SequenceLMParts,
  type SequenceLMState,
} from './sequence-lm.js';
export { HierarchicalLM, type HierarchicalLMOptions, type HierarchicalLMParts } from './hierarchical-lm.js';
