import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { BackendError } from '../errors.js';
import { useBackend } from '../testing/backends.js';
import { expectClose, expectNoLeak } from '../testing/expect.js';
import { dispatchWebGpu, workgroupGrid } from './webgpu-dispatch.js';
import { takeDeviceErrors } from './webgpu-errors.js';

/** y_t = a_t*y_{t-1} + x_t along rows, and the last y: one workgroup per row, tiles of 64 steps. */
const SCAN = /* wgsl */ `
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> last: array<f32>;
struct P { rows: u32, len: u32 }
@group(0) @binding(4) var<uniform> p: P;
var<workgroup> sa: array<f32, 64>;
var<workgroup> sx: array<f32, 64>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) nw: vec3u, @builtin(local_invocation_index) li: u32) {
  let row = w.x + w.y * nw.x;
  if (row >= p.rows) { return; }
  let base = row * p.len;
  var carry = 0.0;
  for (var t0 = 0u; t0 < p.len; t0 += 64u) {
    let t = t0 + li;
    let ok = t < p.len;
    let i = min(base + t, base + p.len - 1u);
    var A = select(1.0, a[i], ok);
    var X = select(0.0, x[i], ok);
    for (var off = 1u; off < 64u; off *= 2u) {
      sa[li] = A; sx[li] = X;
      workgroupBarrier();
      if (li >= off) { X = A * sx[li - off] + X; A = A * sa[li - off]; }
      workgroupBarrier();
    }
    let v = A * carry + X;
    if (ok) { y[base + t] = v; }
    sx[li] = v;
    workgroupBarrier();
    carry = sx[63];
    workgroupBarrier();
  }
  if (li == 0u) { last[row] = carry; }
}`;

const scan = (backend: KernelBackend, a: tf.Tensor, x: tf.Tensor) => {
  const [rows, len] = x.shape as [number, number];
  const out = dispatchWebGpu(backend, {
    key: 'test-scan',
    code: SCAN,
    inputs: [a, x],
    outputs: [{ shape: [rows, len] }, { shape: [rows] }],
    uniforms: Uint32Array.of(rows, len),
    workgroups: workgroupGrid(backend, rows),
  });
  return out.map((o) => tf.engine().makeTensorFromTensorInfo(o)) as [tf.Tensor, tf.Tensor];
};
const reference = (a: Float32Array, x: Float32Array, len: number) => {
  const y = new Float32Array(x.length);
  for (let i = 0; i < x.length; i++) y[i] = (i % len ? a[i]! * y[i - 1]! : 0) + x[i]!;
  return y;
};
/** The same backend as one in which tfjs has renamed its private fields. */
const withoutPrivates = (backend: KernelBackend) =>
  new Proxy(backend, {
    get: (o, k) => (k === 'commandQueueOwnedIds' ? undefined : typeof Reflect.get(o, k) === 'function' ? Reflect.get(o, k).bind(o) : Reflect.get(o, k)),
  });

describe('raw dispatch', () => {
  beforeAll(() => useBackend('webgpu'));

  for (const [how, wrap] of [['in the batch', (b: KernelBackend) => b], ['through public members only', withoutPrivates]] as const) {
    it.each([[3, 7], [2, 64], [5, 130], [70, 1]])(`scans (%i, %i) into two outputs, ${how}`, async (rows, len) => {
      const backend = wrap(tf.backend());
      await expectNoLeak(async () => {
        const a = tf.randomUniform([rows, len], 0.5, 1, 'float32', 1);
        const x = tf.randomNormal([rows, len], 0, 1, 'float32', 2);
        const [y, last] = scan(backend, a, x);
        const expected = reference((await a.data()) as Float32Array, (await x.data()) as Float32Array, len);
        await expectClose(y, expected, { atol: 2e-6, rtol: 2e-6 });
        await expectClose(last, expected.filter((_, i) => i % len === len - 1), { atol: 2e-6, rtol: 2e-6 });
        tf.dispose([a, x, y, last]);
      });
    });
  }

  it('changes a tensor in place, also after it was read, and its inputs may be disposed before the submission', async () => {
    const add = (into: TensorInfo, x: TensorInfo) =>
      dispatchWebGpu(tf.backend(), {
        key: 'test-add-into',
        code: '@group(0) @binding(0) var<storage, read> x: array<f32>; @group(0) @binding(1) var<storage, read_write> y: array<f32>;' +
          '@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) i: vec3u) { if (i.x < arrayLength(&y)) { y[i.x] += x[i.x]; } }',
        inputs: [x],
        outputs: [into],
        workgroups: [2],
      });
    const y = tf.variable(tf.fill([100], 5));
    expect((await y.data())[99]).toBe(5);
    for (let k = 0; k < 40; k++) {
      const x = tf.fill([100], k);
      expect(add(y, x)[0]).toBe(y);
      x.dispose();
    }
    await expectClose(y, new Float32Array(100).fill(5 + 780), { atol: 0, rtol: 0 });
    expect(() => add(y, y)).toThrow(/input 0 is also an output/);
    y.dispose();
  });

  it('makes empty outputs without a dispatch', async () => {
    const a = tf.zeros([0, 8]);
    const out = scan(tf.backend(), a, a);
    expect((await out[0].data()).length + (await out[1].data()).length).toBe(0);
    tf.dispose([a, ...out]);
  });

  it('refuses what is beyond the device, in our kernels and in tfjs own, and reports nothing late', async () => {
    const { device } = tf.backend() as unknown as { device: GPUDevice };
    const rows = device.limits.maxStorageBufferBindingSize / 4 / 1024 + 1;
    expect(() => dispatchWebGpu(tf.backend(), { key: 'test-big', code: '', inputs: [], outputs: [{ shape: [rows, 1024] }], workgroups: [1] })).toThrow(BackendError);
    expect(() => dispatchWebGpu(tf.backend(), { key: 'test-big', code: '', inputs: [], outputs: [{ shape: [rows, 1024] }], workgroups: [1] })).toThrow(/output 0 with shape .* this WebGPU device binds at most/);
    expect(() => dispatchWebGpu(tf.backend(), { key: 'test-grid', code: '', inputs: [], outputs: [{ shape: [1] }], workgroups: [1e6] })).toThrow(/workgroups/);
    const before = tf.memory().numTensors;
    expect(() => tf.tidy(() => tf.tile(tf.ones([1, 1024]), [rows, 1]))).toThrow(/this WebGPU device binds at most/);
    expect(tf.memory().numTensors).toBe(before);
    const y = tf.ones([4]);
    await y.data();
    y.dispose();
    expect(takeDeviceErrors()).toEqual([]);
  });

  it('folds long grids', () => {
    for (const n of [1, 65535, 65536, 1_000_000]) {
      const [x, y] = workgroupGrid(tf.backend(), n);
      expect(x * y).toBeGreaterThanOrEqual(n);
      expect(x * y - n).toBeLessThan(y);
      expect(x).toBeLessThanOrEqual(65535);
    }
  });
});
