import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { AttentionAttrs, AttentionInput, MaskInput } from './mask.js';
import { SIDE } from './webgpu-text.js';

/** Positions whose extremes are kept together, so that tiles without a visible pair are skipped. */
const BLOCK = 16;
/** No limit, as a window: sums with it still fit 32 bits. */
const MAX_WINDOW = 1 << 30;

export const MASK_TENSORS: readonly MaskInput[] = ['querySegments', 'keySegments', 'keyLengths', 'queryPositions', 'keyPositions'];

type Inputs = { [K in AttentionInput]?: TensorInfo };

export const UNIFORMS = /* wgsl */ `
struct Uniforms {
  batch: u32, queries: u32, keys: u32, heads: u32,
  kvHeads: u32, causal: u32, isEqual: u32, byIndex: u32,
  offset: i32, window: i32, scale: f32, dim: u32,
  valueDim: u32, columns: u32, side: u32, pad: u32,
}`;

/** @param columns Keys or queries that a workgroup reads at a time. */
export function uniformsOf({ q, k, v, queryPositions, keyPositions }: Inputs, attrs: AttentionAttrs, columns = 0): ArrayBuffer {
  const [batch, queries, heads] = q!.shape as [number, number, number];
  const [, keys, kvHeads] = k!.shape as [number, number, number];
  const byIndex = !queryPositions && !keyPositions;
  const words = Int32Array.of(
    ...[batch, queries, keys, heads, kvHeads, Number(attrs.causal), Number(attrs.segmentRule === 'equal'), Number(byIndex)],
    ...[attrs.queryOffset, Math.min(attrs.windowLeft, MAX_WINDOW), 0, q!.shape[3]!, v!.shape[3]!, columns, SIDE, 0],
  );
  new Float32Array(words.buffer)[10] = attrs.scale;
  return words.buffer;
}

/** What `maskCode` writes: (position, segment) of every query and every key, then (least, greatest) position and segment of every block of them. */
export const maskSize = (batch: number, queries: number, keys: number): number =>
  batch * (queries + keys + 2 * (Math.ceil(queries / BLOCK) + Math.ceil(keys / BLOCK)));

/** All rules about single positions in one tensor: WebGPU binds at most eight. Bindings: the tensors that are `given`, in order, and the mask. */
export function maskCode(given: readonly MaskInput[]): string {
  const has = (name: MaskInput) => given.includes(name);
  return /* wgsl */ `${UNIFORMS}
${given.map((name, i) => `@group(0) @binding(${i}) var<storage, read> ${name}: array<i32>;`).join('\n')}
@group(0) @binding(${given.length}) var<storage, read_write> mask: array<vec2i>;
@group(0) @binding(${given.length + 1}) var<uniform> u: Uniforms;

fn query(n: u32) -> vec2i {
  return vec2i(${has('queryPositions') ? 'queryPositions[n]' : 'i32(n % u.queries) + u.offset'}, ${has('querySegments') ? 'querySegments[n]' : '0'});
}
fn key(n: u32) -> vec2i {
  var position = ${has('keyPositions') ? 'keyPositions[n]' : 'i32(n % u.keys)'};
${has('keyLengths') ? '  if (i32(n % u.keys) >= keyLengths[n / u.keys]) { position = -1; }' : ''}
  return vec2i(position, ${has('keySegments') ? 'keySegments[n]' : '0'});
}
fn extend(e: vec4i, k: vec2i) -> vec4i {
  return vec4i(min(e.x, k.x), max(e.y, k.x), min(e.z, k.y), max(e.w, k.y));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  var n = (w.x + w.y * groups.x) * 64u + local;
  let queries = u.batch * u.queries;
  let keys = u.batch * u.keys;
  if (n < queries) { mask[n] = query(n); return; }
  n -= queries;
  if (n < keys) { mask[queries + n] = key(n); return; }
  n -= keys;
  let queryBlocks = (u.queries + ${BLOCK - 1}u) / ${BLOCK}u;
  let keyBlocks = (u.keys + ${BLOCK - 1}u) / ${BLOCK}u;
  if (n >= u.batch * (queryBlocks + keyBlocks)) { return; }
  let at = queries + keys + 2u * n;
  let isQuery = n < u.batch * queryBlocks;
  if (!isQuery) { n -= u.batch * queryBlocks; }
  let blocks = select(keyBlocks, queryBlocks, isQuery);
  let length = select(u.keys, u.queries, isQuery);
  let first = n % blocks * ${BLOCK}u;
  var e = vec4i(0x7fffffff, -0x7fffffff, 0x7fffffff, -0x7fffffff);
  for (var i = first; i < min(first + ${BLOCK}u, length); i++) {
    if (isQuery) {
      e = extend(e, query(n / blocks * length + i));
    } else {
      let k = key(n / blocks * length + i);
      if (k.x >= 0) { e = extend(e, k); }
    }
  }
  mask[at] = e.xy;
  mask[at + 1u] = e.zw;
}`;
}

/**
 * WGSL that says what is visible: by indices alone, or by the tensor of `maskCode`, which then is bound as `mask`.
 * `skips` decides for whole tiles, and `keyRange` and `queryRange` which tiles come into question at all.
 */
export function maskFunctions(isMasked: boolean): string {
  return /* wgsl */ `
fn queryAt(b: u32, i: u32) -> vec2i { ${isMasked ? 'return mask[b * u.queries + min(i, u.queries - 1u)];' : 'return vec2i(i32(i) + u.offset, 0);'} }
fn keyAt(b: u32, j: u32) -> vec2i {
  ${isMasked ? 'let key = mask[u.batch * u.queries + b * u.keys + min(j, u.keys - 1u)];' : 'let key = vec2i(i32(j), 0);'}
  return select(vec2i(-1, 0), key, j < u.keys);
}
fn isVisible(q: vec2i, k: vec2i) -> bool {
  return (k.x >= 0) & ((u.causal == 0u) | (k.x <= q.x)) & ((u.window < 0) | (k.x >= q.x - u.window)) & ((k.y == q.y) | ((u.isEqual == 0u) & (k.y < q.y)));
}
fn keyRange(i0: u32, n: u32) -> vec2u {
  var low = 0;
  var high = i32(u.keys);
  if (u.byIndex != 0u && u.window >= 0) { low = clamp(i32(i0) + u.offset - u.window, 0, high); }
  if (u.byIndex != 0u && u.causal != 0u) { high = min(high, i32(min(i0 + n, u.queries)) + u.offset); }
  return vec2u(u32(low), u32(max(low, high)));
}
fn queryRange(j0: u32, n: u32) -> vec2u {
  var low = 0;
  var high = i32(u.queries);
  if (u.byIndex != 0u && u.causal != 0u) { low = clamp(i32(j0) - u.offset, 0, high); }
  if (u.byIndex != 0u && u.window >= 0) { high = min(high, i32(min(j0 + n, u.keys)) + u.window - u.offset); }
  return vec2u(u32(low), u32(max(low, high)));
}${isMasked ? BOUNDS : ''}`;
}

const BOUNDS = /* wgsl */ `
fn joined(first: u32, low: u32, high: u32) -> vec4i {
  var e = vec4i(0x7fffffff, -0x7fffffff, 0x7fffffff, -0x7fffffff);
  for (var x = low / ${BLOCK}u; x * ${BLOCK}u < high; x++) {
    let p = mask[first + 2u * x];
    let s = mask[first + 2u * x + 1u];
    e = vec4i(min(e.x, p.x), max(e.y, p.y), min(e.z, s.x), max(e.w, s.y));
  }
  return e;
}
fn queryBounds(b: u32, i0: u32, n: u32) -> vec4i {
  let blocks = (u.queries + ${BLOCK - 1}u) / ${BLOCK}u;
  return joined(u.batch * (u.queries + u.keys) + 2u * b * blocks, i0, min(i0 + n, u.queries));
}
fn keyBounds(b: u32, j0: u32, n: u32) -> vec4i {
  let queryBlocks = (u.queries + ${BLOCK - 1}u) / ${BLOCK}u;
  let blocks = (u.keys + ${BLOCK - 1}u) / ${BLOCK}u;
  return joined(u.batch * (u.queries + u.keys + 2u * queryBlocks) + 2u * b * blocks, j0, min(j0 + n, u.keys));
}
fn skips(q: vec4i, k: vec4i) -> bool {
  return k.y < 0 || (u.causal != 0u && k.x > q.y) || (u.window >= 0 && k.y < q.x - u.window) || k.z > q.w || (u.isEqual != 0u && k.w < q.z);
}`;
