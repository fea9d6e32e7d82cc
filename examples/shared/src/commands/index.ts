export { addChunksCommand, rowText } from './chunks.js';
export { addEvaluateCommand } from './evaluate.js';
export { addGenerateCommand } from './generate.js';
export { addTrainCommand, given, type TrainOptions, type TrainParts, type TrainStart } from './train.js';
