import { dispatchWebGpu, workgroupGrid } from '../../backend/webgpu-dispatch.js';
import type { FastKernel } from '../../op/define-op.js';
import { sizeOf } from '../host.js';
import { isInteger, valuesPerWord, type PackedAttrs, type PackedFormat } from './format.js';
import type { UnpackInput } from './op.js';

const GROUP = 256;

/** Value `j` of word `w`. */
const DECODE: Record<PackedFormat, string> = {
  bf16: 'bitcast<f32>(select(w << 16u, w & 0xffff0000u, j == 1u))',
  f16: 'unpack2x16float(w)[j]',
  int8: 'f32(bitcast<i32>(w << (24u - 8u * j)) >> 24u)',
  int4: 'f32(bitcast<i32>(w << (28u - 4u * j)) >> 28u)',
};

/** A thread unpacks one word. */
const code = (format: PackedFormat): string => {
  const per = valuesPerWord(format);
  const scaled = isInteger(format);
  return /* wgsl */ `
struct Uniforms { count: u32, group: u32 }
@group(0) @binding(0) var<storage, read> words: array<u32>;
${scaled ? '@group(0) @binding(1) var<storage, read> scales: array<f32>;' : ''}
@group(0) @binding(${scaled ? 2 : 1}) var<storage, read_write> y: array<f32>;
@group(0) @binding(${scaled ? 3 : 2}) var<uniform> u: Uniforms;

@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) g: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (g.x + g.y * groups.x) * ${GROUP}u + local;
  if (i >= u.count) { return; }
  let w = words[i];
  for (var j = 0u; j < ${per}u; j++) {
    let k = i * ${per}u + j;
    y[k] = ${DECODE[format]}${scaled ? ' * scales[k / u.group]' : ''};
  }
}`;
};

export const webGpuUnpack: FastKernel<UnpackInput, PackedAttrs> = ({ inputs: { words, scales }, attrs: { format, group }, backend }) => {
  const [rows, perRow] = words!.shape as [number, number];
  const count = sizeOf(words!.shape);
  return dispatchWebGpu(backend, {
    key: `unpack ${format}`,
    code: code(format),
    inputs: scales ? [words!, scales] : [words!],
    outputs: [{ shape: [rows, perRow * valuesPerWord(format)] }],
    uniforms: Uint32Array.of(count, Math.max(1, group)),
    workgroups: workgroupGrid(backend, Math.ceil(count / GROUP)),
  });
};
