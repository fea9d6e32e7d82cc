// errors and checks
export { BackendError, BytelmError, CheckpointError, ConfigError, DataError, NumericError, ShapeError } from './errors.js';
export { checkShape, checkStep, type Dims } from './check-shape.js';
// backends and ops
export { initBackend } from './backend/init.js';
export type { BackendInfo, BackendOptions } from './backend/info.js';
export { takeDeviceErrors } from './backend/webgpu-errors.js';
export { dispatchWebGpu, hasWebGpuFeature, workgroupGrid, type WebGpuDispatch } from './backend/webgpu-dispatch.js';
export { lengthBucket } from './backend/length-bucket.js';
export { after, canReadSync, readValues } from './backend/can-read-sync.js';
export {
  BACKEND_NAMES,
  defineOp,
  getKernelPolicy,
  setKernelPolicy,
  type BackendName,
  type FastKernel,
  type GradientCall,
  type KernelCall,
  type KernelPolicy,
  type Op,
  type OpGradients,
  type OpInputs,
  type OpSpec,
} from './op/define-op.js';
export { tensorflowKernel, type NativeCall } from './op/tensorflow-native.js';
export { hostState, hostTensor, hostValues } from './op/host-view.js';
export { wasmHeap, wasmInstance, wasmKernel, type WasmHeap, type WasmKernel } from './op/wasm-kernel.js';
export { intoChunks, outOfChunks, realMask, squareOf, type ChunkLayout } from './kernels/chunks.js';
export { cpuKernel, hostOutput, type HostArray, type Loops } from './kernels/host.js';
export { stopGradient } from './stop-gradient.js';
// ops
export { crossEntropy, linearCrossEntropy, type CrossEntropyOptions } from './ops/cross-entropy.js';
export { linear } from './ops/linear.js';
export { matMul } from './ops/mat-mul.js';
export { addRmsNorm, rmsNorm, rmsNormGated } from './ops/norm.js';
export { embedding, gatherRows } from './ops/rows.js';
export { packedLinear, packWeight, unpackWeight, type PackedFormat, type PackedWeight } from './ops/packed.js';
export { sampleIds } from './ops/sample-ids.js';
export { scan, type ScanOptions } from './ops/scan.js';
export { segmentPool, type PoolMode } from './ops/segment-pool.js';
export { splitLast } from './ops/split-last.js';
export { silu, splitSwiglu, swiglu } from './ops/swiglu.js';
// modules
export { joinName, Module, type HasParameters, type ParameterMap } from './module/module.js';
export { withWeightFormat, type WeightFormat } from './module/weight-format.js';
export { putRows, takeRows, zeroRows } from './module/rows.js';
export { cloneState, copyTensor, disposeState, keepState, ownState, type StateTree } from './state.js';
export { Rng, type RngState } from './rng.js';
// contracts
export * from './contracts/index.js';
export * from './hierarchy/index.js';
// layers
export { Embedding } from './layers/embedding.js';
export { LinearHead } from './layers/head.js';
export { Linear, type LinearConfig } from './layers/linear.js';
export { isLayered, type LayeredModel } from './layers/layered-model.js';
export { ResidualStack, type ResidualStackState } from './layers/residual-stack.js';
export { RMSNorm } from './layers/rms-norm.js';
// bytes and generation
export { BYTE_VOCABULARIES, ByteTokenizer, type ByteVocabulary } from './bytes/byte-tokenizer.js';
export { Utf8StreamDecoder } from './bytes/utf8-stream-decoder.js';
export { generate, type GenerateEvent, type GenerateOptions } from './generate/generate.js';
export { HostDecoder, type Decoder, type FedId } from './generate/decoder.js';
export { canDecodeRecorded, RecordedDecoder } from './generate/recorded-decoder.js';
export { argmax, checkSamplingOptions, filteredProbabilities, pick, sample, type SamplingOptions } from './generate/sampling.js';
