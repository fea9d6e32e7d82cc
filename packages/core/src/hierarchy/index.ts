export { HierarchicalStage, firedByStage, type StageNames, type StageOptions, type StageParts, type StageState } from './stage.js';
export {
  SequenceLM,
  type AuxiliaryLoss,
  type SequenceLMOptions,
  type SequenceLMParts,
  type SequenceLMState,
} from './sequence-lm.js';
export { BoundaryEmittingLM, type BoundaryEmittingState } from './boundary-emitting-lm.js';
export { HierarchicalLM, type HierarchicalLMOptions, type HierarchicalLMParts } from './hierarchical-lm.js';
