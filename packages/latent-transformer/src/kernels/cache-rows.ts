import * as tf from '@tensorflow/tfjs-core';
import { getKernelPolicy, wasmHeap, type WasmHeap } from '@bytelm/core';
import { writeRowsWebGpu } from './cache-rows-webgpu.js';

/** The heap, when tensors of the active backend may be written in place. */
export function inPlaceHeap(): WasmHeap | null {
  return tf.getBackend() === 'wasm' && getKernelPolicy() === 'auto' ? wasmHeap(tf.backend() as never) : null;
}

/** Whether a tensor of the active backend may be written in place by WebGPU kernels: nothing else shares its memory. */
export function isOwnOnWebGpu(...tensors: readonly tf.Tensor[]): boolean {
  return tf.getBackend() === 'webgpu' && getKernelPolicy() === 'auto' && tensors.every((t) => tf.backend().refCount(t.dataId) === 1);
}

/**
 * Puts vector i of `values` (R, T, h, d) at slot `targets[i]` of `cache` (B, C, h, d), counted through all rows; −1: nowhere.
 * Consumes `cache`.
 */
export function writeRows(cache: tf.Tensor4D, values: tf.Tensor4D, targets: Int32Array): tf.Tensor4D {
  const [B, C, h, d] = cache.shape;
  const width = h * d;
  const heap = inPlaceHeap();
  if (heap) {
    const f32 = heap.f32(0, Math.floor(heap.memory.buffer.byteLength / 4));
    const to = heap.offset(cache) / 4;
    const from = heap.offset(values) / 4;
    for (let i = 0; i < targets.length; i++) {
      const target = targets[i]!;
      if (target >= 0) f32.copyWithin(to + target * width, from + i * width, from + (i + 1) * width);
    }
    return cache;
  }
  if (isOwnOnWebGpu(cache)) return writeRowsWebGpu(cache, values, targets);
  const next = tf.tidy(() => {
    const source = Int32Array.from({ length: B * C }, (_, i) => i);
    targets.forEach((target, i) => {
      if (target >= 0) source[target] = B * C + i;
    });
    const all = tf.concat([tf.reshape(cache, [B * C, width]), tf.reshape(values, [targets.length, width])], 0);
    return tf.reshape(tf.gather(all, tf.tensor1d(source, 'int32')), [B, C, h, d]) as tf.Tensor4D;
  });
  cache.dispose();
  return next;
}

/** `cache` (B, C, h, d) with `capacity` slots, the new ones zero. Consumes `cache`. */
export function growRows(cache: tf.Tensor4D, capacity: number): tf.Tensor4D {
  const next = tf.pad(cache, [[0, 0], [0, capacity - cache.shape[1]], [0, 0], [0, 0]]);
  cache.dispose();
  return next;
}
