import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../errors.js';
import type { WebGpuBackend, WebGpuPrivates } from '../backend/webgpu-backend.js';

/** One dispatch, ready to be encoded again. */
export interface RecordedDispatch {
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  workgroups: readonly [number, number?, number?];
}

/** What a recording needs to run again: the dispatches, and the memory they refer to. */
export interface Capture {
  dispatches: RecordedDispatch[];
  uniforms: GPUBuffer[];
  /** Tensors that were disposed while recording: their buffers are part of the program. */
  tensors: object[];
}

/** Notes what is encoded; nothing of it runs. */
function notingPass(into: RecordedDispatch[]): GPUComputePassEncoder {
  let pipeline: GPUComputePipeline;
  let bindGroup: GPUBindGroup;
  const noting: Partial<GPUComputePassEncoder> = {
    setPipeline: (p) => void (pipeline = p),
    setBindGroup: ((_: number, group: GPUBindGroup) => void (bindGroup = group)) as GPUComputePassEncoder['setBindGroup'],
    dispatchWorkgroups: (...workgroups) => void into.push({ pipeline, bindGroup, workgroups }),
    end: () => undefined,
  };
  return noting as GPUComputePassEncoder;
}

/** What of a command encoder tfjs uses. Uploads are made, once; reading back is refused. */
function notingEncoder(encoder: GPUCommandEncoder, into: RecordedDispatch[]): GPUCommandEncoder {
  const noting: Partial<GPUCommandEncoder> = {
    beginComputePass: () => notingPass(into),
    copyBufferToBuffer: ((from: GPUBuffer, fromAt: number, to: GPUBuffer, toAt: number, size: number) => {
      if (to.usage & GPUBufferUsage.MAP_READ) throw new BackendError('[recordStep] `run` reads values back, which a recording cannot. Hint: leave reading to `RecordedStep.read`.');
      encoder.copyBufferToBuffer(from, fromAt, to, toAt, size);
    }) as GPUCommandEncoder['copyBufferToBuffer'],
    finish: () => encoder.finish(),
  };
  return noting as GPUCommandEncoder;
}

/** Everything queued so far goes to the device. */
export function flush(backend: WebGpuBackend): void {
  backend.ensureCommandEncoderReady();
  backend.endComputePassEncoder();
  backend.submitQueue();
}

const BATCH_SIZE = 'WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE';

/** Runs `f` and notes all it dispatches, tfjs' own ops as well as kernels; the device does nothing yet. */
export function capture(backend: WebGpuBackend, own: WebGpuPrivates, f: () => void): Capture {
  const dispatches: RecordedDispatch[] = [];
  flush(backend);
  const batchSize = tf.env().getNumber(BATCH_SIZE);
  // No submission in between: until then tfjs gives no memory back that a dispatch refers to.
  tf.env().set(BATCH_SIZE, Number.MAX_SAFE_INTEGER);
  own.commandEncoder = notingEncoder(backend.device.createCommandEncoder(), dispatches);
  const taken: Capture = { dispatches, uniforms: [], tensors: [] };
  try {
    f();
  } finally {
    tf.env().set(BATCH_SIZE, batchSize);
    taken.uniforms = own.uniformPendingDisposal;
    taken.tensors = own.tensorDataPendingDisposal;
    own.uniformPendingDisposal = [];
    own.tensorDataPendingDisposal = [];
    flush(backend);
  }
  return taken;
}

/** Gives the memory of a capture back. */
export function release(backend: WebGpuBackend, own: WebGpuPrivates, { uniforms, tensors }: Capture): void {
  flush(backend);
  own.uniformPendingDisposal.push(...uniforms);
  own.tensorDataPendingDisposal.push(...tensors);
  flush(backend);
}
