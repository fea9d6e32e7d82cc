/** Training: optimizer, schedules, byte data, the loop, checkpoints of a run. Importing it registers tfjs' gradient functions. */
import '../gradients.js';

export { AdamW, groupParameters, type AdamWOptions, type ParameterGroup } from './adamw.js';
export { clipGradNorm, clipScale, globalNorm } from './clip.js';
export { cosine, linearWarmup, wsd, type DecayShape, type ScheduleOptions } from './schedules.js';
export { bytesInMemory, openByteFiles, type ByteStore, type ByteStoreOptions } from './byte-store.js';
export { listFiles, type ListFilesOptions } from './list-files.js';
export { ByteWindows, type ByteWindowsOptions } from './byte-windows.js';
export { Permutation } from './permutation.js';
export { packDocuments, type PackOptions } from './pack-documents.js';
export { trainLoop, type StepEvent, type TrainEvent, type TrainLoopOptions } from './train-loop.js';
export { listCheckpoints, loadCheckpoint, saveCheckpoint, type SaveCheckpointOptions, type TrainState } from './checkpoint.js';
export type { BatchSource, LossAndGrads, Schedule, TrainableModel, TrainBatch } from './types.js';
