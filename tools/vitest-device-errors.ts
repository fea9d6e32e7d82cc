// Of the webgpu project: a faulty shader or dispatch throws nothing, it only leaves zeros; here it fails the test that made it.
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, expect } from 'vitest';
import { takeDeviceErrors } from '../packages/core/src/backend/webgpu-errors.js';

afterEach(async () => {
  if (tf.getBackend() !== 'webgpu') return;
  await (tf.backend() as unknown as { device: GPUDevice }).device.queue.onSubmittedWorkDone();
  expect(takeDeviceErrors(), 'errors reported by the WebGPU device').toEqual([]);
});
