import { dispatchWebGpu, workgroupGrid, type FastKernel } from '@bytelm/core';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { tableName, type GradInput, type HashEmbeddingAttrs, type HashEmbeddingGradAttrs, type RowSource } from './attrs.js';

const GROUP = 256;
/** Tables that one dispatch reads beside the two index tensors and the output: every device binds 8 tensors. */
const TABLES = 5;

/** Sources as vec4i: table, first row, rows. */
const sourceWords = (sources: readonly (RowSource & { rows: number })[]) => sources.flatMap(({ table, start, rows }) => [table, start, rows, 0]);

/** Which row of a source position n has; `rows` and more where it has none. */
const ROW_OF = /* wgsl */ `
fn rowOf(s: vec4i, n: u32) -> u32 {
  var index: i32;
  if (s.x < 0) { index = ids[n]; } else { index = buckets[u32(s.x) * u.count + n]; }
  return u32(index - s.y);
}`;

/** @param isMore adds to what earlier dispatches left. */
const sumCode = (tables: number, isMore: boolean): string => /* wgsl */ `
struct Uniforms { count: u32, width: u32, pad0: u32, pad1: u32, sources: array<vec4i, ${tables}> }
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read> buckets: array<i32>;
${Array.from({ length: tables }, (_, s) => `@group(0) @binding(${2 + s}) var<storage, read> t${s}: array<f32>;`).join('\n')}
@group(0) @binding(${2 + tables}) var<storage, read_write> y: array<f32>;
@group(0) @binding(${3 + tables}) var<uniform> u: Uniforms;
${ROW_OF}
@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * ${GROUP}u + local;
  if (i >= u.count * u.width) { return; }
  let n = i / u.width;
  let d = i % u.width;
  var sum = ${isMore ? 'y[i]' : '0.0'};
  var row: u32;
${Array.from({ length: tables }, (_, s) => `  row = rowOf(u.sources[${s}], n);\n  if (row < u32(u.sources[${s}].z)) { sum += t${s}[row * u.width + d]; }`).join('\n')}
  y[i] = sum;
}`;

export const webgpuHashEmbedding: FastKernel<string, HashEmbeddingAttrs> = ({ inputs, attrs, backend }) => {
  const { ids, buckets } = inputs;
  const count = ids!.shape[0]!;
  const width = inputs[tableName(0)]!.shape[1]!;
  const sources = attrs.sources.map((s, i) => ({ ...s, rows: inputs[tableName(i)]!.shape[0]! }));
  let y: TensorInfo | { shape: number[] } = { shape: [count, width] };
  for (let first = 0; first < sources.length; first += TABLES) {
    const part = sources.slice(first, first + TABLES);
    [y] = dispatchWebGpu(backend, {
      key: `hash embedding ${part.length} ${first > 0}`,
      code: sumCode(part.length, first > 0),
      inputs: [ids!, buckets!, ...part.map((_, i) => inputs[tableName(first + i)]!)],
      outputs: [y],
      uniforms: Int32Array.of(count, width, 0, 0, ...sourceWords(part)),
      workgroups: workgroupGrid(backend, Math.ceil((count * width) / GROUP)),
    }) as [TensorInfo];
  }
  return [y as TensorInfo];
};

/**
 * links[r, n]: the next position with the same index as n, plus one (0: none), at the first position of each index; the same negated and
 * minus one at the others. Row 0 is `ids`, row r the buckets of table r − 1. Each workgroup passes over all positions, a tile at a time.
 */
const LINKS = /* wgsl */ `
struct Uniforms { count: u32, rows: u32, blocks: u32, pad: u32 }
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read> buckets: array<i32>;
@group(0) @binding(2) var<storage, read_write> links: array<i32>;
@group(0) @binding(3) var<uniform> u: Uniforms;
var<workgroup> tile: array<i32, ${GROUP}>;

fn indexOf(row: u32, n: u32) -> i32 {
  if (n >= u.count) { return -1; }
  if (row == 0u) { return ids[n]; }
  return buckets[(row - 1u) * u.count + n];
}

@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let block = w.x + w.y * groups.x;
  let row = block / u.blocks;
  let n = (block % u.blocks) * ${GROUP}u + local;
  let isReal = row < u.rows && n < u.count;
  let mine = indexOf(row, n);
  var hasEarlier = false;
  var next = 0u;
  for (var start = 0u; start < u.count; start += ${GROUP}u) {
    tile[local] = indexOf(row, start + local);
    workgroupBarrier();
    let end = min(${GROUP}u, u.count - start);
    for (var j = 0u; j < end; j++) {
      if (tile[j] == mine) {
        let at = start + j;
        if (at < n) { hasEarlier = true; }
        if (at > n && next == 0u) { next = at + 1u; }
      }
    }
    workgroupBarrier();
  }
  if (isReal) { links[row * u.count + n] = select(i32(next), -i32(next) - 1, hasEarlier); }
}`;

const CLEAR = /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> g: array<f32>;
@group(0) @binding(1) var<uniform> count: vec4u;
@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * ${GROUP}u + local;
  if (i < count.x) { g[i] = 0.0; }
}`;

/** The first position of each index adds up all positions with it, in order. */
const SCATTER = /* wgsl */ `
struct Uniforms { count: u32, width: u32, pad0: u32, pad1: u32, source: vec4i }
@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> ids: array<i32>;
@group(0) @binding(2) var<storage, read> buckets: array<i32>;
@group(0) @binding(3) var<storage, read> links: array<i32>;
@group(0) @binding(4) var<storage, read_write> g: array<f32>;
@group(0) @binding(5) var<uniform> u: Uniforms;
${ROW_OF}
@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * ${GROUP}u + local;
  if (i >= u.count * u.width) { return; }
  let n = i / u.width;
  let d = i % u.width;
  let row = rowOf(u.source, n);
  let base = u32(u.source.x + 1) * u.count;
  var link = links[base + n];
  if (row >= u32(u.source.z) || link < 0) { return; }
  var sum = dy[i];
  while (link != 0) {
    let at = u32(link) - 1u;
    sum += dy[at * u.width + d];
    link = -links[base + at] - 1;
  }
  g[row * u.width + d] = sum;
}`;

export const webgpuHashEmbeddingGrad: FastKernel<GradInput, HashEmbeddingGradAttrs> = ({ inputs: { dy, ids, buckets }, attrs: { sources }, backend }) => {
  const [count, width] = dy!.shape as [number, number];
  const rows = buckets!.shape[0]! + 1;
  const blocks = Math.ceil(count / GROUP);
  const [links] = dispatchWebGpu(backend, {
    key: 'hash embedding links',
    code: LINKS,
    inputs: [ids!, buckets!],
    outputs: [{ shape: [rows, count], dtype: 'int32' }],
    uniforms: Uint32Array.of(count, rows, blocks, 0),
    workgroups: workgroupGrid(backend, rows * blocks),
  }) as [TensorInfo];
  const grads = sources.map((source) => {
    const g = cleared(backend, [source.rows, width]);
    dispatchWebGpu(backend, {
      key: 'hash embedding gradient',
      code: SCATTER,
      inputs: [dy!, ids!, buckets!, links],
      outputs: [g],
      uniforms: Int32Array.of(count, width, 0, 0, ...sourceWords([source])),
      workgroups: workgroupGrid(backend, Math.ceil((count * width) / GROUP)),
    });
    return g;
  });
  backend.disposeData(links.dataId);
  return grads;
};

function cleared(backend: KernelBackend, shape: [number, number]): TensorInfo {
  const size = shape[0] * shape[1];
  const [g] = dispatchWebGpu(backend, {
    key: 'hash embedding clear',
    code: CLEAR,
    inputs: [],
    outputs: [{ shape }],
    uniforms: Uint32Array.of(size, 0, 0, 0),
    workgroups: workgroupGrid(backend, Math.ceil(size / GROUP)),
  });
  return g!;
}
