import * as tf from '@tensorflow/tfjs-core';
import type { DataType, KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { BackendError } from '../errors.js';
import { asWebGpu, privatesOf, type WebGpuBackend } from './webgpu-backend.js';
import { checkBindingSize } from './webgpu-guard.js';
import { computePipeline, type Pipeline } from './webgpu-pipeline.js';

/** One run of a WGSL kernel. */
export interface WebGpuDispatch {
  /** Names the shader: must differ wherever `code` differs (it is what pipelines are cached by). */
  key: string;
  /**
   * WGSL with entry point `main`. Group 0 holds `inputs` as `var<storage, read>` from binding 0, then `outputs` as
   * `var<storage, read_write>`, then `uniforms` as `var<uniform>`. float32 is `f32`; int32 and bool are `i32`.
   * A function makes the text only when the pipeline has to be compiled.
   */
  code: string | (() => string);
  /** Values of the shader's `override` constants. */
  constants?: Record<string, number>;
  inputs: readonly TensorInfo[];
  /** New tensors to make (contents undefined until written), or existing ones to change in place: those must not be inputs too. */
  outputs: readonly (TensorInfo | { shape: readonly number[]; dtype?: DataType })[];
  /** Bytes of the uniform struct, laid out by WGSL's rules; its size a multiple of 4 (16 with `vec4` or `array` members). */
  uniforms?: Uint32Array | Int32Array | Float32Array | ArrayBuffer;
  /** Workgroups in x, y, z; see {@link workgroupGrid}. */
  workgroups: readonly [number, number?, number?];
}

/**
 * Runs a WGSL kernel with any number of outputs on tfjs' WebGPU backend, in one batch with tfjs' own dispatches.
 * @returns one `TensorInfo` per output, in order; those given as tensors come back as they are.
 * @throws BackendError when a tensor or the grid is beyond the limits of the device. (WebGPU itself reports that late, and goes on with zeros.)
 */
export function dispatchWebGpu(kernelBackend: KernelBackend, call: WebGpuDispatch): TensorInfo[] {
  const backend = asWebGpu(kernelBackend);
  checkLimits(backend, call);
  const outputs = call.outputs.map((o) => ('dataId' in o ? o : backend.makeTensorInfo([...o.shape], o.dtype ?? 'float32')));
  if (outputs.every((o) => sizeOf(o.shape) === 0)) return outputs.map((o) => withoutValues(backend, o));

  const tensors = [...call.inputs, ...outputs];
  const shape = { inputs: call.inputs.length, outputs: outputs.length, uniforms: Boolean(call.uniforms) };
  const pipeline = computePipeline(backend.device, call.key, call.code, call.constants, shape);
  const entries = tensors.map((t, binding) => ({ binding, resource: { buffer: bufferOf(backend, t) } }));
  for (const observe of observers) observe(call, { pipeline, entries, tensors });
  const run = privatesOf(backend) ? inBatch : onItsOwn;
  run(backend, call, pipeline, entries, tensors);
  // A copy on the host from an earlier read would hide what was just written.
  for (const o of outputs) backend.tensorMap.get(o.dataId).values = null;
  return outputs;
}

/** What an observer sees of a dispatch beside the call itself. */
export interface ObservedDispatch {
  pipeline: Pipeline;
  /** Inputs and outputs by binding; the uniforms follow. */
  entries: readonly GPUBindGroupEntry[];
  tensors: readonly TensorInfo[];
}

type Observer = (call: WebGpuDispatch, dispatch: ObservedDispatch) => void;
const observers = new Set<Observer>();

/** Calls `observe` at every dispatch until the returned function is called: for recorders and tests. */
export function observeDispatches(observe: Observer): () => void {
  observers.add(observe);
  return () => void observers.delete(observe);
}

/** Workgroups in x and y for `count` of them in a row; the kernel's number is `w.x + w.y * num_workgroups.x`, to be checked against `count`. */
export function workgroupGrid(kernelBackend: KernelBackend, count: number): [number, number, number] {
  const most = asWebGpu(kernelBackend).device.limits.maxComputeWorkgroupsPerDimension;
  if (count <= most) return [Math.max(1, count), 1, 1];
  const y = Math.ceil(count / most);
  return [Math.ceil(count / y), y, 1];
}

/** Whether the device has a feature that kernels may make use of. */
export function hasWebGpuFeature(kernelBackend: KernelBackend, feature: 'shader-f16' | 'subgroups' | 'timestamp-query' | 'chromium-experimental-subgroup-matrix'): boolean {
  return asWebGpu(kernelBackend).device.features.has(feature as GPUFeatureName);
}

const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

function bufferOf(backend: WebGpuBackend, t: TensorInfo): GPUBuffer {
  // WebGPU binds no empty buffers; each gets one of its own, since two writable bindings must not overlap.
  if (sizeOf(t.shape) === 0) return backend.device.createBuffer({ size: 4, usage: GPUBufferUsage.STORAGE });
  backend.uploadToGPU(t.dataId);
  return backend.tensorMap.get(t.dataId).resource!;
}

function withoutValues(backend: WebGpuBackend, t: TensorInfo): TensorInfo {
  backend.tensorMap.get(t.dataId).values = t.dtype === 'float32' ? new Float32Array(0) : new Int32Array(0);
  return t;
}

export function bytesOf(uniforms: NonNullable<WebGpuDispatch['uniforms']>): Uint8Array<ArrayBuffer> {
  return uniforms instanceof ArrayBuffer ? new Uint8Array(uniforms) : new Uint8Array(uniforms.buffer as ArrayBuffer, uniforms.byteOffset, uniforms.byteLength);
}

type Run = (backend: WebGpuBackend, call: WebGpuDispatch, pipeline: Pipeline, entries: GPUBindGroupEntry[], tensors: TensorInfo[]) => void;

/** Into tfjs' open compute pass: nothing is submitted until it has 15 dispatches or something is read. */
const inBatch: Run = (backend, call, { pipeline, layout }, entries, tensors) => {
  const own = privatesOf(backend)!;
  if (call.uniforms) {
    const bytes = bytesOf(call.uniforms);
    const buffer = backend.bufferManager.acquireBuffer(bytes.byteLength, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    backend.queue.writeBuffer(buffer, 0, bytes);
    own.uniformPendingDisposal.push(buffer);
    entries.push({ binding: entries.length, resource: { buffer } });
  }
  const bindGroup = backend.device.createBindGroup({ layout, entries });
  // Else a dispose before the submission would hand the buffer to the next tensor.
  for (const t of tensors) own.commandQueueOwnedIds.add(t.dataId);
  backend.ensureCommandEncoderReady();
  own.computePassEncoder ??= own.commandEncoder.beginComputePass();
  const pass = own.computePassEncoder;
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(...(call.workgroups as [number, number, number]));
  if (++own.dispatchCountInPass >= tf.env().getNumber('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE')) {
    backend.endComputePassEncoder();
    backend.submitQueue();
  }
};

/** Through public members only: what tfjs has queued goes first, then a submission of our own. Two to three times the cost per dispatch. */
const onItsOwn: Run = (backend, call, { pipeline, layout }, entries) => {
  backend.ensureCommandEncoderReady();
  backend.endComputePassEncoder();
  backend.submitQueue();
  let buffer: GPUBuffer | undefined;
  if (call.uniforms) {
    const bytes = bytesOf(call.uniforms);
    buffer = backend.device.createBuffer({ size: bytes.byteLength, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    backend.queue.writeBuffer(buffer, 0, bytes);
    entries.push({ binding: entries.length, resource: { buffer } });
  }
  const encoder = backend.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, backend.device.createBindGroup({ layout, entries }));
  pass.dispatchWorkgroups(...(call.workgroups as [number, number, number]));
  pass.end();
  backend.queue.submit([encoder.finish()]);
  buffer?.destroy();
};

function checkLimits({ device }: WebGpuBackend, call: WebGpuDispatch): void {
  const where = `webgpu ${call.key}`;
  call.inputs.forEach((t, i) => checkBindingSize(device, where, `input ${i}`, t.shape, t.dtype));
  call.outputs.forEach((t, i) => checkBindingSize(device, where, `output ${i}`, t.shape, t.dtype ?? 'float32'));
  const { maxStorageBuffersPerShaderStage, maxComputeWorkgroupsPerDimension } = device.limits;
  const buffers = call.inputs.length + call.outputs.length;
  if (buffers > maxStorageBuffersPerShaderStage) {
    throw new BackendError(`[${where}] the kernel binds ${buffers} tensors, this device allows ${maxStorageBuffersPerShaderStage}. Hint: fall back to the portable form.`);
  }
  if (call.workgroups.some((n) => n! > maxComputeWorkgroupsPerDimension)) {
    throw new BackendError(
      `[${where}] ${call.workgroups.join('×')} workgroups were asked for, this device allows ${maxComputeWorkgroupsPerDimension} per dimension. Hint: a smaller batch or shorter sequences.`,
    );
  }
  const written = new Set(call.outputs.map((o) => ('dataId' in o ? o.dataId : o)));
  const both = call.inputs.findIndex((t) => written.has(t.dataId));
  if (both >= 0) throw new BackendError(`[${where}] input ${both} is also an output. Hint: a tensor that is changed in place is given as output only; the shader may read it there.`);
}
