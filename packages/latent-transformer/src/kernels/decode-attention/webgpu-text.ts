import { subgroupReduction } from '@bytelm/core/webgpu';
import {
  count, directives, lines, rowInput, rowOutput, SIDE, threadNumber, threadParameters, THREADS, tileBytes, tileType, vectors, narrow, wide, type Form, type RowWidth,
} from '../attention/webgpu-text.js';

export { THREADS };
/** Query heads of one key head that a workgroup serves at once; more take several workgroups. */
const MAX_GROUP = 8;

/** Words of `rows`, the tensor that says what each row does: cache row, position, slot to write, first slot to read, slots to read. */
export const ROW_WORDS = 5;

/** How keys are read, where not as a rule. */
export interface DecodeForm extends Omit<Form, 'height'> {
  /** Keys read at a time at most: 32, 16 or 8. */
  block?: number | undefined;
}

/** What the text depends on; widths themselves are uniforms. */
export interface DecodeText extends Omit<Form, 'height'> {
  /** Eights of vectors that a head has at most. */
  shares: number;
  isAligned: readonly [dim: boolean, valueDim: boolean];
  /** Query heads that a workgroup serves. */
  group: number;
  /** Keys read at a time, a multiple of eight. */
  block: number;
  /** One workgroup a head reads all keys, and nothing is left to merge. */
  isWhole: boolean;
}

/** Workgroup memory, bytes. */
export const decodeBytes = ({ shares, group, block, ...form }: Pick<DecodeText, 'shares' | 'group' | 'block' | 'half'>): number =>
  tileBytes(form) * (block * (SIDE * shares + 1) + group * SIDE * shares) + 16 * THREADS + 4 * group * (block + 1) + 12 * group;

/** What every device has. */
const MEMORY = 16384;

/**
 * How heads of these widths are read, `heads` of them sharing a key head; `undefined`: they are too wide. Every vector of a value has a
 * thread of its own.
 */
export function decodeLayout(dim: number, valueDim: number, heads: number, { block: most = 32, ...form }: DecodeForm = {}): Omit<DecodeText, 'isWhole'> | undefined {
  const shares = Math.ceil(Math.max(vectors(dim), vectors(valueDim)) / SIDE);
  if (shares > SIDE) return undefined;
  for (let chunks = Math.ceil(heads / MAX_GROUP); ; chunks *= 2) {
    const group = Math.ceil(heads / chunks);
    const block = [32, 16, 8].find((n) => n <= most && decodeBytes({ ...form, shares, group, block: n }) <= MEMORY);
    if (block) return { shares, isAligned: [dim % 4 === 0, valueDim % 4 === 0], group, block, ...form };
    if (group === 1) return undefined;
  }
}

const width = (uniform: string, isAligned: boolean): RowWidth => ({ uniform: `u.${uniform}`, isAligned });

/**
 * A workgroup per (row, key head, share of its keys) serves all query heads of the key head, so that keys and values are read once: scores of
 * a block of keys, a running maximum and sum, then values straight from the cache. Rows of different lengths leave early.
 */
export function decodeCode({ shares, isAligned, group, block, isWhole, ...form }: DecodeText): string {
  const stride = SIDE * shares + 1;
  /** Threads along the width of a value; the others take further keys. */
  const P = 2 ** Math.ceil(Math.log2(SIDE * shares));
  const outputs = isWhole
    ? rowOutput('y', 4, width('valueDim', isAligned[1]))
    : '@group(0) @binding(4) var<storage, read_write> sums: array<vec4f>;\n@group(0) @binding(5) var<storage, read_write> marks: array<vec2f>;';
  return /* wgsl */ `${directives(form)}
struct Uniforms { heads: u32, kvHeads: u32, capacity: u32, share: u32, shares: u32, scale: f32, stride: u32, dim: u32, valueDim: u32, block: u32, pad0: u32, pad1: u32 }
${rowInput('q', 0, width('dim', isAligned[0]))}
${rowInput('k', 1, width('dim', isAligned[0]))}
${rowInput('v', 2, width('valueDim', isAligned[1]))}
@group(0) @binding(3) var<storage, read> rows: array<i32>;
${outputs}
@group(0) @binding(${isWhole ? 5 : 6}) var<uniform> u: Uniforms;
var<workgroup> queries: array<${tileType(form)}, ${group * SIDE * shares}>;
var<workgroup> keys: array<${tileType(form)}, ${block * stride}>;
var<workgroup> scores: array<f32, ${group * (block + 1)}>;
var<workgroup> tops: array<f32, ${group}>;
var<workgroup> totals: array<f32, ${group}>;
var<workgroup> shrinks: array<f32, ${group}>;
var<workgroup> gathered: array<vec4f, ${THREADS}>;
${form.subgroups ? `${subgroupReduction('rowMax', { lanes: SIDE, join: (x, y) => `max(${x}, ${y})` })}${subgroupReduction('rowSum', { lanes: SIDE })}` : ''}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) w: vec3u, ${threadParameters(form)}) {
${threadNumber(form)}  let tx = t % ${SIDE}u;
  let ty = t / ${SIDE}u;
  let D = (u.dim + 3u) / 4u;
  let V = (u.valueDim + 3u) / 4u;
  let N = u.block;
  let group = u.heads / u.kvHeads;
  let chunks = (group + ${group - 1}u) / ${group}u;
  let kvHead = w.y / chunks;
  let g0 = w.y % chunks * ${group}u;
  let cacheRow = u32(rows[w.z * ${ROW_WORDS}u]) * u.capacity;
  let start = u32(rows[w.z * ${ROW_WORDS}u + 3u]);
  let first = w.x * u.share;
  let end = min(first + u.share, u32(rows[w.z * ${ROW_WORDS}u + 4u]));
  for (var g = ty; g < ${group}u; g += ${SIDE}u) {
    for (var c = tx; c < D; c += ${SIDE}u) {
      queries[g * ${SIDE * shares}u + c] = ${narrow(form, 'load_q(w.z * u.stride + kvHead * group + min(g0 + g, group - 1u), c) * u.scale')};
    }
  }
${form.subgroups ? rowBegin(group) : `  if (t < ${group}u) {
    tops[t] = -1e30;
    totals[t] = 0.0;
  }`}
  let column = t % ${P}u;
  let lane = t / ${P}u;
${lines(group, (g) => `  var o${g} = vec4f();`)}
  for (var j0 = first; j0 < end; j0 += N) {
    workgroupBarrier();
    for (var r = ty; r < N; r += ${SIDE}u) {
      let j = start + min(j0 + r, end - 1u);
      let source = (cacheRow + select(j, j - u.capacity, j >= u.capacity)) * u.kvHeads + kvHead;
      for (var c = tx; c < D; c += ${SIDE}u) { keys[r * ${stride}u + c] = ${narrow(form, 'load_k(source, c)')}; }
    }
    workgroupBarrier();
    for (var x = t; x < ${group * block}u; x += ${THREADS}u) {
      let key = x % ${block}u;
      let g = x / ${block}u;
      var s = 0.0;
      for (var d = 0u; d < D; d++) { s += dot(${wide(form, `queries[g * ${SIDE * shares}u + d]`)}, ${wide(form, `keys[key * ${stride}u + d]`)}); }
      scores[g * ${block + 1}u + key] = select(-1e30, s, j0 + key < end);
    }
    workgroupBarrier();
${form.subgroups ? rowWeights(group, block) : workgroupWeights(group, block)}
    workgroupBarrier();
${lines(group, (g) => `    o${g} *= shrinks[${g}];`)}
    for (var key = lane; key < min(N, end - j0); key += ${THREADS / P}u) {
      let j = start + j0 + key;
      let value = load_v((cacheRow + select(j, j - u.capacity, j >= u.capacity)) * u.kvHeads + kvHead, min(column, V - 1u));
${lines(group, (g) => `      o${g} = fma(vec4f(scores[${g * (block + 1)}u + key]), value, o${g});`)}
    }
${form.subgroups ? '' : workgroupTotals(group, block)}  }${form.subgroups ? rowEnd : ''}
${count(group).map((g) => finish(g, P, isWhole)).join('\n')}
}`;
}

/** Maxima and weights of a block of keys: a thread per head, then a thread per weight. */
const workgroupWeights = (group: number, block: number) => `    if (t < ${group}u) {
      var top = tops[t];
      for (var key = 0u; key < N; key++) { top = max(top, scores[t * ${block + 1}u + key]); }
      shrinks[t] = exp(tops[t] - top);
      tops[t] = top;
    }
    workgroupBarrier();
    for (var x = t; x < ${group * block}u; x += ${THREADS}u) {
      let at = x / ${block}u * ${block + 1}u + x % ${block}u;
      scores[at] = select(0.0, exp(scores[at] - tops[x / ${block}u]), j0 + x % ${block}u < end);
    }`;

const workgroupTotals = (group: number, block: number) => `    if (t < ${group}u) {
      var total = totals[t] * shrinks[t];
      for (var key = 0u; key < N; key++) { total += scores[t * ${block + 1}u + key]; }
      totals[t] = total;
    }
`;

/** The same by subgroups: a row of threads has a head, and each thread of it every eighth key. */
const rowBegin = (group: number) => `  var top = -1e30;
  var total = 0.0;
  let isHead = ty < ${group}u;`;
const rowWeights = (group: number, block: number) => `    var peak = top;
    for (var key = tx; key < select(0u, N, isHead); key += ${SIDE}u) { peak = max(peak, scores[ty * ${block + 1}u + key]); }
    peak = rowMax(peak);
    let shrink = exp(top - peak);
    top = peak;
    total *= shrink;
    for (var key = tx; key < select(0u, N, isHead); key += ${SIDE}u) {
      let at = ty * ${block + 1}u + key;
      let weight = select(0.0, exp(scores[at] - top), j0 + key < end);
      scores[at] = weight;
      total += weight;
    }
    if (tx == 0u && isHead) { shrinks[ty] = shrink; }`;
const rowEnd = `
  total = rowSum(total);
  if (tx == 0u && isHead) {
    tops[ty] = top;
    totals[ty] = total;
  }`;

/** Adds up the lanes of query head `g` and writes it. */
const finish = (g: number, P: number, isWhole: boolean) => `
  workgroupBarrier();
  gathered[t] = o${g};
  workgroupBarrier();
  if (t < V && g0 + ${g}u < group) {
    var sum = gathered[t];
    for (var x = t + ${P}u; x < ${THREADS}u; x += ${P}u) { sum += gathered[x]; }
    let head = w.z * u.heads + kvHead * group + g0 + ${g}u;
${
  isWhole
    ? `    store_y(head, t, sum * select(1.0 / totals[${g}], 0.0, totals[${g}] == 0.0));`
    : `    sums[(head * u.shares + w.x) * V + t] = sum;
    if (t == 0u) { marks[head * u.shares + w.x] = vec2f(tops[${g}], totals[${g}]); }`
}
  }`;

/** Joins the shares of a head: a thread per vector of the output. */
export const mergeCode = (isAligned: boolean): string => /* wgsl */ `
struct Uniforms { size: u32, shares: u32, valueDim: u32, pad: u32 }
@group(0) @binding(0) var<storage, read> sums: array<vec4f>;
@group(0) @binding(1) var<storage, read> marks: array<vec2f>;
${rowOutput('y', 2, width('valueDim', isAligned))}
@group(0) @binding(3) var<uniform> u: Uniforms;

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * ${THREADS}u + local;
  if (i >= u.size) { return; }
  let V = (u.valueDim + 3u) / 4u;
  let head = i / V;
  var top = -1e30;
  for (var s = head * u.shares; s < (head + 1u) * u.shares; s++) { top = max(top, marks[s].x); }
  var total = 0.0;
  var sum = vec4f();
  for (var s = head * u.shares; s < (head + 1u) * u.shares; s++) {
    let weight = exp(marks[s].x - top);
    total += weight * marks[s].y;
    sum += weight * sums[s * V + i % V];
  }
  store_y(head, i % V, sum * select(1.0 / total, 0.0, total == 0.0));
}`;
