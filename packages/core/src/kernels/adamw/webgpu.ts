import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { dispatchWebGpu, workgroupGrid } from '../../backend/webgpu-dispatch.js';
import type { FastKernel } from '../../op/define-op.js';
import { sizeOf } from '../host.js';
import { adamwFactors, type AdamWAttrs, type AdamWInput } from './portable.js';

const GROUP = 256;

/** Binding 0 is the gradient, then the scale if there is one, then param, m, v in place and the uniforms. */
const adamwCode = (scaled: boolean): string => {
  const at = scaled ? 2 : 1;
  return /* wgsl */ `
struct Uniforms { n: u32, keep: f32, b1: f32, b2: f32, rate: f32, root: f32, eps: f32, pad: u32 }
@group(0) @binding(0) var<storage, read> grad: array<f32>;
${scaled ? '@group(0) @binding(1) var<storage, read> scale: array<f32>;' : ''}
@group(0) @binding(${at}) var<storage, read_write> param: array<f32>;
@group(0) @binding(${at + 1}) var<storage, read_write> m: array<f32>;
@group(0) @binding(${at + 2}) var<storage, read_write> v: array<f32>;
@group(0) @binding(${at + 3}) var<uniform> u: Uniforms;

@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * ${GROUP}u + local;
  if (i >= u.n) { return; }
  let g = grad[i]${scaled ? ' * scale[0]' : ''};
  let m1 = m[i] * u.b1 + g * (1.0 - u.b1);
  let v1 = v[i] * u.b2 + g * g * (1.0 - u.b2);
  m[i] = m1;
  v[i] = v1;
  param[i] = param[i] * u.keep - m1 * u.rate / (sqrt(v1) * u.root + u.eps);
}`;
};

/** Updates param, m and v in place and returns nothing; declines when a clone shares their data. */
export const adamwWebGpu: FastKernel<AdamWInput, AdamWAttrs> = ({ inputs: { param, m, v, grad, scale }, attrs, backend }) => {
  const state = [param!, m!, v!];
  if (state.some((t) => backend.refCount(t.dataId) !== 1)) return null;
  const n = sizeOf(param!.shape);
  const { keep, rate, root } = adamwFactors(attrs);
  const uniforms = new Float32Array([0, keep, attrs.beta1, attrs.beta2, rate, root, attrs.eps, 0]);
  new Uint32Array(uniforms.buffer)[0] = n;
  dispatchWebGpu(backend, {
    key: `adamw ${scale ? 'scaled' : ''}`,
    code: adamwCode(Boolean(scale)),
    inputs: scale ? [grad!, scale] : [grad!],
    outputs: state,
    uniforms,
    workgroups: workgroupGrid(backend, Math.ceil(n / GROUP)),
  });
  return [];
};

/** out[w] = what was there before (`base`, for the last pass) + the sum of workgroup w's share of x, or of its squares. */
const sumCode = (square: boolean, based: boolean): string => /* wgsl */ `
struct Uniforms { n: u32, step: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
${based ? '@group(0) @binding(1) var<storage, read> base: array<f32>;' : ''}
@group(0) @binding(${based ? 2 : 1}) var<storage, read_write> out: array<f32>;
@group(0) @binding(${based ? 3 : 2}) var<uniform> u: Uniforms;
var<workgroup> part: array<f32, ${GROUP}>;

@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) local: u32) {
  var sum = 0.0;
  for (var i = w.x * ${GROUP}u + local; i < u.n; i += u.step) {
    let a = x[i];
    sum += ${square ? 'a * a' : 'a'};
  }
  part[local] = sum;
  workgroupBarrier();
  for (var half = ${GROUP / 2}u; half > 0u; half /= 2u) {
    if (local < half) { part[local] += part[local + half]; }
    workgroupBarrier();
  }
  if (local == 0u) { out[w.x] = part[0]${based ? ' + base[0]' : ''}; }
}`;

/** Elements that one workgroup sums; beyond, a second pass adds up the workgroups. */
const SHARE = 16 * GROUP;
const MAX_GROUPS = 256;

export const sumSquaresWebGpu: FastKernel<'x' | 'sum', object> = ({ inputs: { x, sum }, backend }) => {
  const n = sizeOf(x!.shape);
  // An empty tensor has no buffer to bind.
  if (n === 0) return null;
  const groups = Math.min(MAX_GROUPS, Math.ceil(n / SHARE));
  if (groups === 1) return [pass(backend, x!, 1, true, sum)];
  const parts = pass(backend, x!, groups, true);
  const out = pass(backend, parts, 1, false, sum);
  backend.disposeData(parts.dataId);
  return [out];
};

function pass(backend: KernelBackend, x: TensorInfo, groups: number, square: boolean, base?: TensorInfo): TensorInfo {
  const [out] = dispatchWebGpu(backend, {
    key: `sum ${square ? 'squares' : ''} ${base ? 'based' : ''}`,
    code: sumCode(square, Boolean(base)),
    inputs: base ? [x, base] : [x],
    outputs: [{ shape: groups === 1 ? [] : [groups] }],
    uniforms: Uint32Array.of(sizeOf(x.shape), groups * GROUP),
    workgroups: [groups],
  });
  return out!;
}
