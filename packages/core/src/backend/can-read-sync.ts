import * as tf from '@tensorflow/tfjs-core';

/** Whether `tensor.dataSync()` works on the active backend. tfjs reads WebGPU memory synchronously through a canvas, which Node has not. */
export function canReadSync(): boolean {
  return tf.getBackend() !== 'webgpu' || typeof OffscreenCanvas !== 'undefined';
}
