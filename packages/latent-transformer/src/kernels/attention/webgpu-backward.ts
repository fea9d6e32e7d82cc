import { begin, buffers, eachKeyTile, inputs, keyRow, QUERY_HEAD, queryRow, queryTile } from './webgpu-frame.js';
import { maskFunctions } from './webgpu-mask.js';
import { partsOf, strideOf, type AttentionText } from './webgpu-shape.js';
import { accumulate, column, grid, lines, products, row as rowOf, rowInput, rowOutput, stage } from './webgpu-text.js';

/** Workgroup memory of both kernels, bytes; `weights` buffers of one float a pair. */
const backwardBytes = (a: AttentionText, weights: number): number => 16 * (2 * a.rows + a.columns) * strideOf(a) + 4 * weights * a.rows * (a.columns + 1);
export const queryGradBytes = (a: AttentionText): number => backwardBytes(a, 1);
export const keyGradBytes = (a: AttentionText): number => backwardBytes(a, 2);

/** (log-sum-exp, delta) side by side: the pass over keys has eight bindings, and no room for two. */
export const STATS_CODE = /* wgsl */ `
struct Uniforms { size: u32 }
@group(0) @binding(0) var<storage, read> lse: array<f32>;
@group(0) @binding(1) var<storage, read> delta: array<f32>;
@group(0) @binding(2) var<storage, read_write> stats: array<vec2f>;
@group(0) @binding(3) var<uniform> u: Uniforms;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * 64u + local;
  if (i < u.size) { stats[i] = vec2f(lse[i], delta[i]); }
}`;

/** Uniforms, q, k, v, dy, statistics and the mask. */
const inputsOf = (parts: ReturnType<typeof partsOf>, isMasked: boolean): string =>
  inputs(parts, isMasked, [rowInput('dy', 3, parts.valueDim), '@group(0) @binding(4) var<storage, read> stats: array<vec2f>;']);

/** A workgroup's own rows of two tensors, the tile of another, and a float a pair under each of these names. */
const buffersOf = (a: AttentionText, { stride, weightStride }: ReturnType<typeof partsOf>, names: readonly string[]): string =>
  buffers(a, stride, { own: a.rows, other: a.rows, tile: a.columns }, Object.fromEntries(names.map((name) => [name, a.rows * weightStride])));

/**
 * A pair's weight p = exp(s − lse) and slope p (dy·v − delta) scale. A log-sum-exp that was summed in another order may lie below a score by
 * a rounding, hence the minimum.
 */
const pair = (r: number, c: number, query: string, key: string, stats: string) => `
    let p${r}_${c} = select(0.0, exp(min(s${r}_${c} * u.scale - ${stats}.x, 0.0)), isVisible(${query}, ${key}));
    let ds${r}_${c} = p${r}_${c} * (e${r}_${c} - ${stats}.y) * u.scale;`;

/** dq: a workgroup per (batch row, head, tile of queries) over the tiles of keys; values first, then keys in the same buffer. */
export function queryGradCode(a: AttentionText): string {
  const { rows, isMasked } = a;
  const row = (r: number) => rowOf(r, a);
  const parts = partsOf(a);
  const { dim, R, C, ofDim: O, stride, weightStride } = parts;
  const output = isMasked ? 6 : 5;
  return /* wgsl */ `${inputsOf(parts, isMasked)}
${rowOutput('dq', output, dim)}
@group(0) @binding(${output + 1}) var<uniform> u: Uniforms;
${maskFunctions(isMasked)}

${buffersOf(a, parts, ['slopes'])}
${begin(a, parts)}
${QUERY_HEAD}
${queryTile(rows)}
  ${stage(a, 'own', `${rows}u`, 'D', stride, 'q', queryRow)}
  ${stage(a, 'other', `${rows}u`, 'V', stride, 'dy', queryRow)}
${lines(R, (r) => `  let query${r} = queryAt(b, i0 + ${row(r)});\n  let stats${r} = stats[(b * u.heads + h) * u.queries + min(i0 + ${row(r)}, u.queries - 1u)];`)}
${grid(R, O, (r, c) => `  var o${r}_${c} = vec4f();`)}
${eachKeyTile(a)}
    ${stage(a, 'tile', 'N', 'V', stride, 'v', keyRow)}
    workgroupBarrier();
${products(a, 'e', R, C, 'V', stride, 'other', 'tile')}
    workgroupBarrier();
    ${stage(a, 'tile', 'N', 'D', stride, 'k', keyRow)}
    workgroupBarrier();
${products(a, 's', R, C, 'D', stride, 'own', 'tile')}
${lines(C, (c) => `    let key${c} = keyAt(b, j0 + ${column(c)});`)}
${grid(R, C, (r, c) => `${pair(r, c, `query${r}`, `key${c}`, `stats${r}`)}\n    slopes[${row(r)} * ${weightStride}u + ${column(c)}] = ds${r}_${c};`)}
    workgroupBarrier();
    ${accumulate(a, 'o', R, O, 'N', weightStride, stride, 'slopes', 'tile')}
  }
${lines(R, (r) => `  let i_${r} = i0 + ${row(r)};
  if (i_${r} < u.queries) {
${lines(O, (c) => `    if (${column(c)} < D) { store_dq((b * u.queries + i_${r}) * u.heads + h, ${column(c)}, o${r}_${c}); }`)}
  }`)}
}`;
}

/**
 * dk and dv: a workgroup per (batch row, key head, tile of keys) over the query heads of the group and the tiles of their queries, so that
 * the sum over a group needs no atomics. Queries, their output gradients, and queries again take turns in one buffer.
 */
export function keyGradCode(a: AttentionText): string {
  const { rows, columns, isMasked } = a;
  const row = (r: number) => rowOf(r, a);
  const parts = partsOf(a);
  const { dim, valueDim, R, C, ofDim: O, ofValue: V, stride, weightStride } = parts;
  const output = isMasked ? 6 : 5;
  const at = (r: number, c: number) => `${row(r)} * ${weightStride}u + ${column(c)}`;
  return /* wgsl */ `${inputsOf(parts, isMasked)}
${rowOutput('dk', output, dim)}
${rowOutput('dv', output + 1, valueDim)}
@group(0) @binding(${output + 2}) var<uniform> u: Uniforms;
${maskFunctions(isMasked)}

${buffersOf(a, parts, ['weights', 'slopes'])}
${begin(a, parts)}
  let kvHead = w.y;
  let b = w.z;
  let group = u.heads / u.kvHeads;
  let j0 = w.x * ${rows}u;
  ${stage(a, 'own', `${rows}u`, 'D', stride, 'k', keyRow)}
  ${stage(a, 'other', `${rows}u`, 'V', stride, 'v', keyRow)}
${lines(R, (r) => `  let key${r} = keyAt(b, j0 + ${row(r)});`)}
${grid(R, O, (r, c) => `  var k${r}_${c} = vec4f();`)}
${grid(R, V, (r, c) => `  var v${r}_${c} = vec4f();`)}
  let range = queryRange(j0, ${rows}u);
${isMasked ? `  let mine = keyBounds(b, j0, ${rows}u);` : ''}
  for (var h = kvHead * group; h < (kvHead + 1u) * group; h++) {
  for (var i0 = range.x / ${columns}u * ${columns}u; i0 < range.y; i0 += ${columns}u) {
${isMasked ? `    if (skips(queryBounds(b, i0, ${columns}u), mine)) { continue; }` : ''}
    workgroupBarrier();
    ${stage(a, 'tile', 'N', 'D', stride, 'q', queryRow)}
    workgroupBarrier();
${products(a, 's', R, C, 'D', stride, 'own', 'tile')}
    workgroupBarrier();
    ${stage(a, 'tile', 'N', 'V', stride, 'dy', queryRow)}
    workgroupBarrier();
${products(a, 'e', R, C, 'V', stride, 'other', 'tile')}
${lines(C, (c) => `    let i_${c} = i0 + ${column(c)};
    let query${c} = queryAt(b, i_${c});
    let stats${c} = stats[(b * u.heads + h) * u.queries + min(i_${c}, u.queries - 1u)];`)}
${grid(R, C, (r, c) => `${pair(r, c, `query${c}`, `key${r}`, `stats${c}`)}
    weights[${at(r, c)}] = select(0.0, p${r}_${c}, i_${c} < u.queries);
    slopes[${at(r, c)}] = select(0.0, ds${r}_${c}, i_${c} < u.queries);`)}
    workgroupBarrier();
    ${accumulate(a, 'v', R, V, 'N', weightStride, stride, 'weights', 'tile')}
    workgroupBarrier();
    ${stage(a, 'tile', 'N', 'D', stride, 'q', queryRow)}
    workgroupBarrier();
    ${accumulate(a, 'k', R, O, 'N', weightStride, stride, 'slopes', 'tile')}
  }
  }
${lines(R, (r) => `  let j_${r} = j0 + ${row(r)};
  if (j_${r} < u.keys) {
    let into = (b * u.keys + j_${r}) * u.kvHeads + kvHead;
${lines(O, (c) => `    if (${column(c)} < D) { store_dk(into, ${column(c)}, k${r}_${c}); }`)}
${lines(V, (c) => `    if (${column(c)} < V) { store_dv(into, ${column(c)}, v${r}_${c}); }`)}
  }`)}
}`;
}
