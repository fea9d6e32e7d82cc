import * as tf from '@tensorflow/tfjs-core';
import type { MaybePromise } from '../contracts/index.js';

/** Whether `tensor.dataSync()` works on the active backend. tfjs reads WebGPU memory synchronously through a canvas, which Node has not. */
export function canReadSync(): boolean {
  return tf.getBackend() !== 'webgpu' || typeof OffscreenCanvas !== 'undefined';
}

/** The values of a tensor: at once where the backend can, else a promise of them. Does not dispose the tensor. */
export function readValues(t: tf.Tensor): MaybePromise<Float32Array | Int32Array | Uint8Array> {
  return canReadSync() ? t.dataSync() : t.data();
}

/** Goes on with a value that may be a promise, without a detour through the microtask queue when it is not. */
export function after<T, R>(value: MaybePromise<T>, next: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}
