import type { DataType, KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';

/** The public side of tfjs' WebGPU backend that kernels need. */
export interface WebGpuBackend {
  readonly device: GPUDevice;
  readonly queue: GPUQueue;
  tensorMap: { get(id: object): { resource?: GPUBuffer | null; values?: unknown } };
  bufferManager: { acquireBuffer(bytes: number, usage: number): GPUBuffer; releaseBuffer(buffer: GPUBuffer): void };
  makeTensorInfo(shape: number[], dtype: DataType): TensorInfo;
  uploadToGPU(id: object): void;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

/** Private there, but plain properties, unchanged across tfjs 4.22: with them a dispatch joins tfjs' own batches. */
export interface WebGpuPrivates {
  commandEncoder: GPUCommandEncoder;
  computePassEncoder: GPUComputePassEncoder | null;
  dispatchCountInPass: number;
  commandQueueOwnedIds: WeakSet<object>;
  uniformPendingDisposal: GPUBuffer[];
  tensorDataPendingDisposal: object[];
}

export const asWebGpu = (backend: KernelBackend): WebGpuBackend => backend as unknown as WebGpuBackend;

/** The private side, or `null` when this version of tfjs has changed it. */
export function privatesOf(backend: WebGpuBackend): WebGpuPrivates | null {
  const own = backend as unknown as Partial<WebGpuPrivates>;
  const known =
    own.commandQueueOwnedIds instanceof WeakSet &&
    Array.isArray(own.uniformPendingDisposal) &&
    Array.isArray(own.tensorDataPendingDisposal) &&
    typeof own.dispatchCountInPass === 'number' &&
    'commandEncoder' in own &&
    'computePassEncoder' in own;
  return known ? (own as WebGpuPrivates) : null;
}
