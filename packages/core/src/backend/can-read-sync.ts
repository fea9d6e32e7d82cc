import * as tf from '@tensorflow/tfjs-core';
import type { MaybePromise } from '../contracts/index.js';

/**
 * Whether `tensor.dataSync()` can be relied on with the active backend: not on WebGPU. tfjs reads its memory synchronously through a
 * canvas; Node has none, and in headless Chromium on a software adapter the attempt loses the device and gives zeros.
 */
export function canReadSync(): boolean {
  return tf.getBackend() !== 'webgpu';
}

/** The values of a tensor: at once where the backend can, else a promise of them. Does not dispose the tensor. */
export function readValues(t: tf.Tensor): MaybePromise<Float32Array | Int32Array | Uint8Array> {
  return canReadSync() ? t.dataSync() : t.data();
}

/** Goes on with a value that may be a promise, without a detour through the microtask queue when it is not. */
export function after<T, R>(value: MaybePromise<T>, next: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}
