import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { dispatchWebGpu, workgroupGrid, type FastKernel } from '@bytelm/core';
import type { PatchAttentionAttrs, PatchAttentionInput } from './shapes.js';

const GROUP = 64;

/** Who looks from where: a byte at the slots of its patch (index: `ids`), or a slot at the bytes of its patch (index: `runs`). */
type From = 'bytes' | 'slots';

const UNIFORMS = /* wgsl */ `
struct Uniforms { batch: u32, length: u32, patches: u32, slots: u32, heads: u32, dim: u32, valueDim: u32, scale: f32 }`;

/** runs (B·M, 2): first byte of every patch, counted through all rows, and how many. One workgroup a row. */
const RUNS = /* wgsl */ `${UNIFORMS}
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read_write> runs: array<i32>;
@group(0) @binding(2) var<uniform> u: Uniforms;
@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let b = w.x + w.y * groups.x;
  if (b >= u.batch) { return; }
  for (var m = local; m < 2u * u.patches; m += ${GROUP}u) { runs[2u * b * u.patches + m] = 0; }
  storageBarrier();
  let end = (b + 1u) * u.length;
  for (var t = b * u.length + local; t < end; t += ${GROUP}u) {
    let id = ids[t];
    if (id < 0 || u32(id) >= u.patches || (t > b * u.length && ids[t - 1u] == id)) { continue; }
    var last = t + 1u;
    while (last < end && ids[last] == id) { last++; }
    let at = 2u * (b * u.patches + u32(id));
    runs[at] = i32(t);
    runs[at + 1u] = i32(last - t);
  }
}`;

/** What byte or slot i looks at: the first of its partners, and how many. */
const SEEN: Record<From, string> = {
  bytes: /* wgsl */ `
fn seen(i: u32) -> vec2u {
  let id = index[i];
  if (id < 0 || u32(id) >= u.patches) { return vec2u(0u, 0u); }
  return vec2u((i / u.length * u.patches + u32(id)) * u.slots, u.slots);
}
fn total() -> u32 { return u.batch * u.length; }`,
  slots: /* wgsl */ `
fn seen(i: u32) -> vec2u {
  let at = 2u * (i / u.slots);
  return vec2u(u32(index[at]), u32(index[at + 1u]));
}
fn total() -> u32 { return u.batch * u.patches * u.slots; }`,
};

const START = /* wgsl */ `
@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * ${GROUP}u + local;
  if (i >= total() * u.heads) { return; }
  let h = i % u.heads;
  let run = seen(i / u.heads);`;

/** Maximum of the scores of query head i, and the sum of their exponentials above it. */
const SOFTMAX = /* wgsl */ `
fn score(i: u32, key: u32, h: u32) -> f32 {
  let at = (key * u.heads + h) * u.dim;
  var s = 0.0;
  for (var d = 0u; d < u.dim; d++) { s += inner(q[i * u.dim + d], k[at + d]); }
  return s * u.scale;
}
fn softmax(i: u32, run: vec2u, h: u32) -> vec2f {
  var top = -1e30;
  var sum = 0.0;
  for (var j = 0u; j < run.y; j++) {
    let s = score(i, run.x + j, h);
    let next = max(top, s);
    sum = sum * exp(top - next) + exp(s - next);
    top = next;
  }
  return vec2f(top, sum);
}`;

/** Rows of heads are read by fours where all widths allow it: `Channels` is one or four of them, and `u.dim` and `u.valueDim` count those. */
const CHANNELS = {
  f32: 'alias Channels = f32;\nfn inner(a: f32, b: f32) -> f32 { return a * b; }',
  vec4f: 'alias Channels = vec4f;\nfn inner(a: vec4f, b: vec4f) -> f32 { return dot(a, b); }',
};
type Channels = keyof typeof CHANNELS;
const typeOf = (name: string) => (name === 'index' ? 'i32' : name === 'kept' ? 'f32' : 'Channels');

const inputs = (names: readonly string[]) => names.map((n, i) => `@group(0) @binding(${i}) var<storage, read> ${n}: array<${typeOf(n)}>;`).join('\n');
const outputs = (names: readonly string[], from: number) =>
  names.map((n, i) => `@group(0) @binding(${from + i}) var<storage, read_write> ${n}: array<${typeOf(n)}>;`).join('\n') + `\n@group(0) @binding(${from + names.length}) var<uniform> u: Uniforms;`;

export const forwardCode = (from: From, channels: Channels) => /* wgsl */ `${UNIFORMS}
${CHANNELS[channels]}
${inputs(['q', 'k', 'v', 'index'])}
${outputs(['y'], 4)}
${SEEN[from]}
${SOFTMAX}
${START}
  for (var d = 0u; d < u.valueDim; d++) { y[i * u.valueDim + d] = Channels(); }
  let norm = softmax(i, run, h);
  for (var j = 0u; j < run.y; j++) {
    let p = exp(score(i, run.x + j, h) - norm.x) / norm.y;
    let at = ((run.x + j) * u.heads + h) * u.valueDim;
    for (var d = 0u; d < u.valueDim; d++) { y[i * u.valueDim + d] += p * v[at + d]; }
  }
}`;

const DY = /* wgsl */ `
fn slope(i: u32, key: u32, h: u32) -> f32 {
  let at = (key * u.heads + h) * u.valueDim;
  var s = 0.0;
  for (var d = 0u; d < u.valueDim; d++) { s += inner(dy[i * u.valueDim + d], v[at + d]); }
  return s;
}`;

/** dq, and of every query head its log-sum-exp and mean slope, which the keys need. */
export const queryGradCode = (from: From, channels: Channels) => /* wgsl */ `${UNIFORMS}
${CHANNELS[channels]}
${inputs(['q', 'k', 'v', 'dy', 'index'])}
${outputs(['dq', 'kept'], 5)}
${SEEN[from]}
${SOFTMAX}
${DY}
${START}
  for (var d = 0u; d < u.dim; d++) { dq[i * u.dim + d] = Channels(); }
  let norm = softmax(i, run, h);
  var mean = 0.0;
  for (var j = 0u; j < run.y; j++) { mean += exp(score(i, run.x + j, h) - norm.x) / norm.y * slope(i, run.x + j, h); }
  kept[2u * i] = norm.x + log(max(norm.y, 1e-30));
  kept[2u * i + 1u] = mean;
  for (var j = 0u; j < run.y; j++) {
    let key = run.x + j;
    let ds = exp(score(i, key, h) - norm.x) / norm.y * (slope(i, key, h) - mean) * u.scale;
    for (var d = 0u; d < u.dim; d++) { dq[i * u.dim + d] += ds * k[(key * u.heads + h) * u.dim + d]; }
  }
}`;

/** dk and dv of one key head, from the queries that see it. */
export const keyGradCode = (from: From, channels: Channels) => /* wgsl */ `${UNIFORMS}
${CHANNELS[channels]}
${inputs(['q', 'k', 'v', 'dy', 'kept', 'index'])}
${outputs(['dk', 'dv'], 6)}
${SEEN[from]}
${SOFTMAX}
${DY}
${START}
  for (var d = 0u; d < u.dim; d++) { dk[i * u.dim + d] = Channels(); }
  for (var d = 0u; d < u.valueDim; d++) { dv[i * u.valueDim + d] = Channels(); }
  for (var j = 0u; j < run.y; j++) {
    let query = (run.x + j) * u.heads + h;
    let p = exp(score(query, i / u.heads, h) - kept[2u * query]);
    let ds = p * (slope(query, i / u.heads, h) - kept[2u * query + 1u]) * u.scale;
    for (var d = 0u; d < u.dim; d++) { dk[i * u.dim + d] += ds * q[query * u.dim + d]; }
    for (var d = 0u; d < u.valueDim; d++) { dv[i * u.valueDim + d] += p * dy[query * u.valueDim + d]; }
  }
}`;

type Input = PatchAttentionInput | 'dy';
type Inputs = { [K in Input]?: TensorInfo };

/** @param queries who asks; the others hold keys and values. */
function sizesOf({ q, k, v }: Inputs, queries: From): readonly number[] {
  const [bytes, slots] = queries === 'bytes' ? [q!, k!] : [k!, q!];
  const [B, L] = bytes.shape as [number, number];
  return [B, L, slots.shape[1]!, slots.shape[2]!, q!.shape.at(-2)!, q!.shape.at(-1)!, v!.shape.at(-1)!];
}

const channelsOf = (sizes: readonly number[]): Channels => (sizes[5]! % 4 || sizes[6]! % 4 ? 'f32' : 'vec4f');

function uniformsOf(sizes: readonly number[], { scale }: PatchAttentionAttrs): ArrayBuffer {
  const per = channelsOf(sizes) === 'vec4f' ? 4 : 1;
  const words = Int32Array.of(...sizes.slice(0, 5), sizes[5]! / per, sizes[6]! / per, 0);
  new Float32Array(words.buffer)[sizes.length] = scale;
  return words.buffer;
}

function run(backend: KernelBackend, name: string, code: () => string, tensors: readonly TensorInfo[], made: readonly number[][], uniforms: ArrayBuffer, threads: number): TensorInfo[] {
  return dispatchWebGpu(backend, { key: `patch attention ${name}`, code, inputs: tensors, outputs: made.map((shape) => ({ shape })), uniforms, workgroups: workgroupGrid(backend, Math.ceil(threads / GROUP)) });
}

/** The index that bytes or slots look through, and how many heads look. */
function indexOf(backend: KernelBackend, from: From, ids: TensorInfo, sizes: readonly number[], uniforms: ArrayBuffer): { index: TensorInfo; threads: number } {
  const [B, L, M, S, H] = sizes as [number, number, number, number, number];
  if (from === 'bytes') return { index: ids, threads: B * L * H };
  const [runs] = dispatchWebGpu(backend, { key: 'patch attention runs', code: RUNS, inputs: [ids], outputs: [{ shape: [B * M, 2], dtype: 'int32' }], uniforms, workgroups: workgroupGrid(backend, B) });
  return { index: runs!, threads: B * M * S * H };
}

const isEmpty = ([B, L, M]: readonly number[]) => B! * L! * M! === 0;
const other = (from: From): From => (from === 'bytes' ? 'slots' : 'bytes');

const forward =
  (queries: From): FastKernel<PatchAttentionInput, PatchAttentionAttrs> =>
  ({ inputs: given, attrs, backend }) => {
    const { q, k, v, ids } = given as Required<Inputs>;
    const sizes = sizesOf(given, queries);
    if (isEmpty(sizes)) return null;
    const uniforms = uniformsOf(sizes, attrs);
    const { index, threads } = indexOf(backend, queries, ids, sizes, uniforms);
    const channels = channelsOf(sizes);
    const y = run(backend, `forward of ${queries}, ${channels}`, () => forwardCode(queries, channels), [q, k, v, index], [[...q.shape.slice(0, -1), v.shape.at(-1)!]], uniforms, threads);
    if (index !== ids) backend.disposeData(index.dataId);
    return y;
  };

const backward =
  (queries: From): FastKernel<Input, PatchAttentionAttrs> =>
  ({ inputs: given, attrs, backend }) => {
    const { q, k, v, ids, dy } = given as Required<Inputs>;
    const sizes = sizesOf(given, queries);
    if (isEmpty(sizes)) return null;
    const uniforms = uniformsOf(sizes, attrs);
    const keys = other(queries);
    const channels = channelsOf(sizes);
    const [forQueries, forKeys] = [indexOf(backend, queries, ids, sizes, uniforms), indexOf(backend, keys, ids, sizes, uniforms)];
    const [dq, kept] = run(backend, `queries of ${queries}, ${channels}`, () => queryGradCode(queries, channels), [q, k, v, dy, forQueries.index], [q.shape, [forQueries.threads, 2]], uniforms, forQueries.threads);
    const [dk, dv] = run(backend, `keys of ${keys}, ${channels}`, () => keyGradCode(keys, channels), [q, k, v, dy, kept!, forKeys.index], [k.shape, v.shape], uniforms, forKeys.threads);
    for (const t of [kept!, forQueries.index, forKeys.index]) if (t !== ids) backend.disposeData(t.dataId);
    return [dq!, dk!, dv!];
  };

export const slotAttentionWebGpu = forward('bytes');
export const slotAttentionGradWebGpu = backward('bytes');
export const poolAttentionWebGpu = forward('slots');
export const poolAttentionGradWebGpu = backward('slots');
