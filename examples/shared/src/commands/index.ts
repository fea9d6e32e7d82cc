export { addChunksCommand, rowText } from './chunks.js';
export { addEvaluateCommand, type FurtherEvaluation } from './evaluate.js';
export { addGenerateCommand } from './generate.js';
export { addInspectCommand, type Inspection, type InspectReport } from './inspect.js';
export { addTrainCommand, given, type TrainOptions, type TrainParts, type TrainStart } from './train.js';
