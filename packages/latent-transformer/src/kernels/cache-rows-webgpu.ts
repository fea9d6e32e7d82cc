import * as tf from '@tensorflow/tfjs-core';
import { dispatchWebGpu, workgroupGrid } from '@bytelm/core';

const GROUP = 64;

/** Row i of `values` to row `targets[i]` of `cache`; −1: nowhere. */
export const WRITE_ROWS_CODE = /* wgsl */ `
struct Uniforms { size: u32, width: u32, pad0: u32, pad1: u32 }
@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<i32>;
@group(0) @binding(2) var<storage, read_write> cache: array<f32>;
@group(0) @binding(3) var<uniform> u: Uniforms;
@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * ${GROUP}u + local;
  if (i >= u.size) { return; }
  let row = targets[i / u.width];
  if (row >= 0) { cache[u32(row) * u.width + i % u.width] = values[i]; }
}`;

/** Changes `cache` (B, C, h, d) in place and returns it. Two rows never have the same target. */
export function writeRowsWebGpu(cache: tf.Tensor4D, values: tf.Tensor4D, targets: Int32Array): tf.Tensor4D {
  const backend = tf.backend() as never;
  const width = cache.shape[2] * cache.shape[3];
  const size = targets.length * width;
  if (size === 0) return cache;
  tf.tidy(() => {
    dispatchWebGpu(backend, {
      key: 'write rows of a cache',
      code: WRITE_ROWS_CODE,
      inputs: [values, tf.tensor1d(targets, 'int32')],
      outputs: [cache],
      uniforms: Uint32Array.of(size, width, 0, 0),
      workgroups: workgroupGrid(backend, Math.ceil(size / GROUP)),
    });
  });
  return cache;
}
