import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { backendsForTest, useBackend } from '../testing/backends.js';
import { canReadSync, readValues } from './can-read-sync.js';
import { initBackend } from './init.js';

describe.each(backendsForTest())('initBackend on %s', (name) => {
  beforeAll(() => useBackend(name));

  it('reports what runs, and can be asked again', async () => {
    const info = await initBackend(name);
    expect(info).toMatchObject({ name, reason: 'asked for by name' });
    expect(info.device).not.toBe('');
    expect(tf.getBackend()).toBe(name);
    expect(await initBackend(name)).toEqual(info);
    if (name === 'webgpu') {
      const { device } = tf.backend() as unknown as { device: GPUDevice };
      expect(info.limits.maxStorageBufferBindingSize).toBe(device.limits.maxStorageBufferBindingSize);
      expect(info.features.filter((f) => !device.features.has(f as GPUFeatureName))).toEqual([]);
    }
  });

  it('computes, and says rightly whether it reads synchronously', async () => {
    const y = tf.matMul(tf.ones([70, 40]), tf.ones([40, 60]));
    expect(y.shape).toEqual([70, 60]);
    expect((await initBackend(name)).canReadSync).toBe(canReadSync());
    if (canReadSync()) expect(y.dataSync()[4199]).toBe(40);
    else expect(() => y.dataSync()).toThrow();
    expect((await readValues(y))[4199]).toBe(40);
    y.dispose();
  });
});
