import * as tf from '@tensorflow/tfjs-core';
import { asWebGpu, privatesOf } from '../backend/webgpu-backend.js';
import { BackendError } from '../errors.js';
import { capture, flush, release, type RecordedDispatch } from './recorder-capture.js';

/** Time on the device of the dispatches of one kernel. */
export interface KernelTime {
  /** Key of an own kernel, or the name of a program of tfjs. */
  kernel: string;
  dispatches: number;
  /** All of them together, ms. */
  ms: number;
}

/** A query set holds 4096 times, two to a dispatch. */
const AT_ONCE = 2048;

/**
 * Times on the device of everything that `run` dispatches, the longest first. Each dispatch gets a pass of its own, repeated `repeats` times,
 * since clocks are coarse (100 µs in browsers): what changes tensors in place does so that often.
 *
 * @throws BackendError without `timestamp-query`.
 */
export async function kernelTimes(run: () => tf.TensorContainer, { repeats = 20 }: { repeats?: number } = {}): Promise<KernelTime[]> {
  const backend = asWebGpu(tf.backend() as never);
  const own = tf.getBackend() === 'webgpu' ? privatesOf(backend) : null;
  if (!own || !backend.device.features.has('timestamp-query')) throw new BackendError('[kernelTimes] expected the backend webgpu on a device with timestamp-query.');
  const captured = capture(backend, own, () => tf.tidy(() => void run()));
  const sums = new Map<string, KernelTime>();
  for (let start = 0; start < captured.dispatches.length; start += AT_ONCE) {
    const part = captured.dispatches.slice(start, start + AT_ONCE);
    const times = await timesOf(backend.device, part, repeats);
    part.forEach(({ pipeline }, i) => {
      const kernel = pipeline.label || 'unnamed';
      const sum = sums.get(kernel) ?? { kernel, dispatches: 0, ms: 0 };
      sums.set(kernel, { kernel, dispatches: sum.dispatches + 1, ms: sum.ms + times[i]! });
    });
  }
  release(backend, own, captured);
  flush(backend);
  return [...sums.values()].sort((a, b) => b.ms - a.ms);
}

async function timesOf(device: GPUDevice, dispatches: readonly RecordedDispatch[], repeats: number): Promise<number[]> {
  const count = 2 * dispatches.length;
  const querySet = device.createQuerySet({ type: 'timestamp', count });
  const resolved = device.createBuffer({ size: 8 * count, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const staging = device.createBuffer({ size: 8 * count, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const encoder = device.createCommandEncoder();
  dispatches.forEach(({ pipeline, bindGroup, workgroups }, i) => {
    const pass = encoder.beginComputePass({ timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 } });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    for (let r = 0; r < repeats; r++) pass.dispatchWorkgroups(...(workgroups as [number, number, number]));
    pass.end();
  });
  encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, 8 * count);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const nanoseconds = new BigUint64Array(staging.getMappedRange().slice(0));
  for (const b of [staging, resolved]) b.destroy();
  querySet.destroy();
  return dispatches.map((_, i) => Number(nanoseconds[2 * i + 1]! - nanoseconds[2 * i]!) / 1e6 / repeats);
}
