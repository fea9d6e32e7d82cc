// WebGPU in a browser, from the published package: the backend, an own kernel with two outputs, a gradient.
import * as tf from '@tensorflow/tfjs-core';
import { dispatchWebGpu, initBackend, takeDeviceErrors } from '@bytelm/core';
import '@bytelm/core/gradients';

const info = await initBackend('webgpu');
console.log(info.device, info.features.join(' '));
if (info.name !== 'webgpu' || info.canReadSync) throw new Error(`unexpected: ${JSON.stringify(info)}`);

const x = tf.range(0, 4096);
const outputs = dispatchWebGpu(tf.backend(), {
  key: 'square-and-negate',
  code: `@group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    @group(0) @binding(2) var<storage, read_write> z: array<f32>;
    struct Sizes { count: u32 }
    @group(0) @binding(3) var<uniform> sizes: Sizes;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) i: vec3u) {
      if (i.x < sizes.count) { y[i.x] = x[i.x] * x[i.x]; z[i.x] = -x[i.x]; }
    }`,
  inputs: [x],
  outputs: [{ shape: [4096] }, { shape: [4096] }],
  uniforms: Uint32Array.of(4096),
  workgroups: [64],
});
const [y, z] = await Promise.all(outputs.map((o) => tf.engine().makeTensorFromTensorInfo(o).data()));
if (y[100] !== 10000 || z[4095] !== -4095) throw new Error(`wrong values ${y[100]}, ${z[4095]}`);

const slope = tf.grad((a) => tf.sum(tf.square(a)))(x);
if ((await slope.data())[7] !== 14) throw new Error('wrong gradient');
if (takeDeviceErrors().length) throw new Error('the device reported errors');
console.log('all well');
