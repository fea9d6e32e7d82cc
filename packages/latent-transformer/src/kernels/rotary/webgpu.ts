import { dispatchWebGpu, workgroupGrid, type FastKernel } from '@bytelm/core';
import type { RotaryAttrs, RotaryInput } from './op.js';

const GROUP = 64;

/** A thread turns one pair of one head, or passes one channel on. */
export const rotaryCode = (hasPositions: boolean): string => {
  const at = hasPositions ? 4 : 3;
  return /* wgsl */ `
struct Uniforms { rows: u32, length: u32, heads: u32, dim: u32, half: u32, offset: u32, interleaved: u32, sign: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> cosines: array<f32>;
@group(0) @binding(2) var<storage, read> sines: array<f32>;
${hasPositions ? '@group(0) @binding(3) var<storage, read> positions: array<i32>;' : ''}
@group(0) @binding(${at}) var<storage, read_write> y: array<f32>;
@group(0) @binding(${at + 1}) var<uniform> u: Uniforms;

@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * ${GROUP}u + local;
  let parts = u.dim - u.half;
  if (i >= u.rows * parts) { return; }
  let row = i / parts;
  let part = i % parts;
  let base = row * u.dim;
  if (part >= u.half) {
    y[base + u.half + part] = x[base + u.half + part];
    return;
  }
  let token = row / u.heads;
  let angle = ${hasPositions ? 'u32(positions[token])' : '(u.offset + token % u.length)'} * u.half + part;
  let first = base + select(part, 2u * part, u.interleaved != 0u);
  let second = select(first + u.half, first + 1u, u.interleaved != 0u);
  let a = x[first];
  let b = x[second];
  let c = cosines[angle];
  let s = sines[angle] * u.sign;
  y[first] = a * c - b * s;
  y[second] = a * s + b * c;
}`;
};

export const rotaryWebGpu: FastKernel<RotaryInput, RotaryAttrs> = ({ inputs: { x, cos, sin, positions }, attrs: { interleaved, inverse, offset }, backend }) => {
  const [B, T, H, D] = x!.shape as [number, number, number, number];
  const half = cos!.shape[1]!;
  const rows = B * T * H;
  const uniforms = Uint32Array.of(rows, T, H, D, half, offset, Number(interleaved), 0);
  new Float32Array(uniforms.buffer)[7] = inverse ? -1 : 1;
  return dispatchWebGpu(backend, {
    key: `rotary ${positions ? 'at positions' : ''}`,
    code: () => rotaryCode(Boolean(positions)),
    inputs: [x!, cos!, sin!, ...(positions ? [positions] : [])],
    outputs: [{ shape: x!.shape }],
    uniforms,
    workgroups: workgroupGrid(backend, Math.ceil((rows * (D - half)) / GROUP)),
  });
};
