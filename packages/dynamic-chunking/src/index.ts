// ops
export { boundaryProbability } from './ops/boundary-probability.js';
export { compactBoundaries, type CompactBoundaries } from './ops/compact-boundaries.js';
export { confidenceGate } from './ops/confidence-gate.js';
export { emaGather } from './ops/ema-gather.js';
export { EMA_CLAMP, emaScan, type EmaScanOptions } from './ops/ema-scan.js';
export { ratioLoss, ratioLosses } from './ops/ratio-loss.js';
// modules
export { BoundaryPredictor, type BoundaryPredictorConfig, type BoundaryPredictorState } from './modules/boundary-predictor.js';
export { type BoundaryThreshold } from './modules/boundary-threshold.js';
export { ChunkLayer } from './modules/chunk-layer.js';
export { DeChunkLayer, type DeChunkState } from './modules/dechunk-layer.js';
export { PadWidth } from './modules/pad-width.js';
export { RoutingModule, type RoutingState } from './modules/routing-module.js';
// training
export { stageLrMultipliers } from './lr-multipliers.js';
