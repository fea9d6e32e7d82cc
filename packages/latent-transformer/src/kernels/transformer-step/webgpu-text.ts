import { count, grid, lines, rowInput } from '../attention/webgpu-text.js';
import { ROW_WORDS } from '../decode-attention/webgpu-text.js';

/** Threads of a workgroup that works on one row. */
export const ROW_THREADS = 128;

/** Adds up `parts` over the workgroup; afterwards `parts[0]` is the sum. */
const sumParts = (threads: number) => `
  workgroupBarrier();
  for (var half = ${threads / 2}u; half > 0u; half /= 2u) {
    if (t < half) { parts[t] += parts[t + half]; }
    workgroupBarrier();
  }`;

/**
 * What happens to the pair (hidden, residual) before or behind a branch:
 * `addNorm`: sum = hidden + residual, normed = norm(sum); `add`: the sum alone; `normAdd`: sum = residual + norm(hidden); `norm`: norm(hidden) alone.
 */
export type PairMode = 'addNorm' | 'add' | 'normAdd' | 'norm';

/** Bindings: hidden, then residual and the norm's weight where there are such, then the sum and the normed rows. */
export function pairCode(mode: PairMode, hasResidual: boolean): string {
  const hasNorm = mode !== 'add';
  const names = ['hidden', ...(hasResidual ? ['residual'] : []), ...(hasNorm ? ['weight'] : [])];
  const outputs = mode === 'addNorm' ? ['sum', 'normed'] : mode === 'norm' ? ['normed'] : ['sum'];
  const added = hasResidual ? 'hidden[i] + residual[i]' : 'hidden[i]';
  const normedInput = mode === 'addNorm' ? 'sum[i]' : 'hidden[i]';
  return /* wgsl */ `
struct Uniforms { width: u32, eps: f32 }
${names.map((n, i) => `@group(0) @binding(${i}) var<storage, read> ${n}: array<f32>;`).join('\n')}
${outputs.map((n, i) => `@group(0) @binding(${names.length + i}) var<storage, read_write> ${n}: array<f32>;`).join('\n')}
@group(0) @binding(${names.length + outputs.length}) var<uniform> u: Uniforms;
var<workgroup> parts: array<f32, ${ROW_THREADS}>;

@compute @workgroup_size(${ROW_THREADS})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) t: u32) {
  let first = w.x * u.width;
  let end = first + u.width;
${mode === 'add' || mode === 'addNorm' ? `  for (var i = first + t; i < end; i += ${ROW_THREADS}u) { sum[i] = ${added}; }` : ''}
${
  hasNorm
    ? `  var square = 0.0;
  for (var i = first + t; i < end; i += ${ROW_THREADS}u) { square += ${normedInput} * ${normedInput}; }
  parts[t] = square;${sumParts(ROW_THREADS)}
  let scale = inverseSqrt(parts[0] / f32(u.width) + u.eps);
  for (var i = first + t; i < end; i += ${ROW_THREADS}u) {
    let x = ${normedInput} * scale * weight[i - first];
    ${mode === 'normAdd' ? `sum[i] = ${hasResidual ? 'residual[i] + ' : ''}x;` : 'normed[i] = x;'}
  }`
    : ''
}
}`;
}

export type HeadNorm = 'none' | 'all-heads' | 'per-head';

/**
 * Norms and rotates projected queries and keys, and puts keys and values into the caches. A workgroup takes what is normed together: one head,
 * or all heads of a kind. Queries change in place. Bindings: rows; cos, sin if there is a rotation; the norms' weights; qkv, k, v.
 */
export function headsCode(norm: HeadNorm, isRotated: boolean): string {
  const names = ['rows', ...(isRotated ? ['cosines', 'sines'] : []), ...(norm === 'none' ? [] : ['queryNorm', 'keyNorm'])];
  const unit = norm === 'all-heads'
    ? `  let first = select(u.qDim + select(0u, u.kvDim, w.x == 2u), 0u, w.x == 0u);
  let size = select(u.kvDim, u.qDim, w.x == 0u);`
    : `  let first = w.x * u.headDim;
  let size = u.headDim;`;
  return /* wgsl */ `
struct Uniforms { qDim: u32, kvDim: u32, headDim: u32, half: u32, capacity: u32, interleaved: u32, eps: f32, pad: u32 }
${names.map((n, i) => `@group(0) @binding(${i}) var<storage, read> ${n}: array<${n === 'rows' ? 'i32' : 'f32'}>;`).join('\n')}
${['qkv', 'k', 'v'].map((n, i) => `@group(0) @binding(${names.length + i}) var<storage, read_write> ${n}: array<f32>;`).join('\n')}
@group(0) @binding(${names.length + 3}) var<uniform> u: Uniforms;
var<workgroup> parts: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) t: u32) {
${unit}
  let isQuery = first < u.qDim;
  let isValue = first >= u.qDim + u.kvDim;
  let row = w.y * (u.qDim + 2u * u.kvDim) + first;
  let cacheRow = rows[w.y * ${ROW_WORDS}u];
  if (cacheRow < 0) { return; }
  var cacheFirst = 0u;
  if (!isQuery) {
    let slot = u32(cacheRow) * u.capacity + u32(rows[w.y * ${ROW_WORDS}u + 2u]);
    cacheFirst = slot * u.kvDim + first - u.qDim;
  }
  if (isValue) {
    for (var i = t; i < size; i += 64u) { v[cacheFirst - u.kvDim + i] = qkv[row + i]; }
    return;
  }
${
  norm === 'none'
    ? ''
    : `  var square = 0.0;
  for (var i = t; i < size; i += 64u) { square += qkv[row + i] * qkv[row + i]; }
  parts[t] = square;${sumParts(64)}
  let scale = inverseSqrt(parts[0] / f32(size) + u.eps);`
}
  let channels = u.headDim - u.half;
  for (var n = t; n < size / u.headDim * channels; n += 64u) {
    let head = n / channels * u.headDim;
    let part = n % channels;
    if (part >= u.half) {
      put(isQuery, row, cacheFirst, head + u.half + part, ${norm === 'none' ? 'qkv[row + head + u.half + part]' : 'normed(isQuery, row, head + u.half + part, scale)'});
      continue;
    }
${
  isRotated
    ? `    let one = head + select(part, 2u * part, u.interleaved != 0u);
    let two = select(one + u.half, one + 1u, u.interleaved != 0u);
    let a = ${norm === 'none' ? 'qkv[row + one]' : 'normed(isQuery, row, one, scale)'};
    let b = ${norm === 'none' ? 'qkv[row + two]' : 'normed(isQuery, row, two, scale)'};
    let angle = u32(rows[w.y * ${ROW_WORDS}u + 1u]) * u.half + part;
    put(isQuery, row, cacheFirst, one, a * cosines[angle] - b * sines[angle]);
    put(isQuery, row, cacheFirst, two, a * sines[angle] + b * cosines[angle]);`
    : ''
}
  }
}

fn put(isQuery: bool, row: u32, cacheFirst: u32, i: u32, value: f32) {
  if (isQuery) { qkv[row + i] = value; } else { k[cacheFirst + i] = value; }
}
${norm === 'none' ? '' : `fn normed(isQuery: bool, row: u32, i: u32, scale: f32) -> f32 {
  return qkv[row + i] * scale * select(keyNorm[min(i, arrayLength(&keyNorm) - 1u)], queryNorm[min(i, arrayLength(&queryNorm) - 1u)], isQuery);
}`}`;
}

/** Rows of output that a workgroup works out, and threads that share each of them. */
export const PRODUCT_ROWS = 4;
export const PRODUCT_THREADS = 64;

export interface ProductText {
  /** The width of x and of the weights' rows, a uniform, is a multiple of four. */
  isAligned: boolean;
  /** Rows of x that a workgroup takes, 1 to 4. */
  batch: number;
  /** Weights below each other; with `isGated` gate and value, or both in one. */
  parts: 1 | 2 | 3;
  hasBias: boolean;
  /** y = silu(gate) · value. */
  isGated: boolean;
  /** Adds rows of another tensor. */
  hasResidual: boolean;
  /** A mask says which rows are wanted. */
  isMasked?: boolean;
}

/**
 * y = W x for few rows x: each weight is read once. Bindings: x, the weights, their biases, the residual, the mask, y.
 * Row n of the output is row n of the stacked weights; with `isGated`, rows `gate + n` and `value + n`.
 */
export function productCode({ isAligned, batch, parts, hasBias, isGated, hasResidual, isMasked }: ProductText): string {
  const width = { uniform: 'u.width', isAligned };
  const J = isGated ? 2 * PRODUCT_ROWS : PRODUCT_ROWS;
  const bias = 1 + parts;
  const residual = bias + (hasBias ? parts : 0);
  const mask = residual + (hasResidual ? 1 : 0);
  const y = mask + (isMasked ? 1 : 0);
  const source = (j: number) => (isGated ? `n0 + ${j % PRODUCT_ROWS}u + ${j < PRODUCT_ROWS ? 'u.gate' : 'u.value'}` : `n0 + ${j}u`);
  const picked = (read: (part: number, row: string) => string) =>
    parts === 1
      ? `return ${read(0, 'n')};`
      : `if (n < u.first) { return ${read(0, 'n')}; }\n${parts === 3 ? `  if (n < u.second) { return ${read(1, 'n - u.first')}; }\n  return ${read(2, 'n - u.second')};` : `  return ${read(1, 'n - u.first')};`}`;
  return /* wgsl */ `
struct Uniforms { rows: u32, size: u32, first: u32, second: u32, last: u32, gate: u32, value: u32, width: u32 }
${rowInput('x', 0, width)}
${lines(parts, (p) => rowInput(`w${p}`, 1 + p, width))}
${hasBias ? lines(parts, (p) => `@group(0) @binding(${bias + p}) var<storage, read> b${p}: array<f32>;`) : ''}
${hasResidual ? `@group(0) @binding(${residual}) var<storage, read> residual: array<f32>;` : ''}${isMasked ? `\n@group(0) @binding(${mask}) var<storage, read> isActive: array<i32>;` : ''}
@group(0) @binding(${y}) var<storage, read_write> y: array<f32>;
@group(0) @binding(${y + 1}) var<uniform> u: Uniforms;
var<workgroup> parts: array<f32, ${batch * J * PRODUCT_THREADS}>;

fn weight(row: u32, c: u32) -> vec4f {
  let n = min(row, u.last);
  ${picked((p, n) => `load_w${p}(${n}, c)`)}
}
${hasBias ? `fn bias(n: u32) -> f32 {\n  ${picked((p, n) => `b${p}[${n}]`)}\n}` : ''}

@compute @workgroup_size(${PRODUCT_THREADS})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) t: u32) {
  let n0 = (w.x + w.y * groups.x) * ${PRODUCT_ROWS}u;
  if (n0 >= u.size) { return; }
  let m0 = w.z * ${batch}u;${isMasked ? `\n  if (${count(batch).map((m) => `isActive[min(m0 + ${m}u, u.rows - 1u)] == 0`).join(' && ')}) { return; }` : ''}
${grid(batch, J, (m, j) => `  var a${m}_${j} = 0.0;`)}
  for (var c = t; c < (u.width + 3u) / 4u; c += ${PRODUCT_THREADS}u) {
${lines(batch, (m) => `    let x${m} = load_x(min(m0 + ${m}u, u.rows - 1u), c);`)}
${lines(J, (j) => `    let k${j} = weight(${source(j)}, c);`)}
${grid(batch, J, (m, j) => `    a${m}_${j} += dot(x${m}, k${j});`)}
  }
${grid(batch, J, (m, j) => `  parts[${(m * J + j) * PRODUCT_THREADS}u + t] = a${m}_${j};`)}
  workgroupBarrier();
  for (var half = ${PRODUCT_THREADS / 2}u; half > 0u; half /= 2u) {
    for (var i = t; i < ${batch * J}u * half; i += ${PRODUCT_THREADS}u) {
      let at = i / half * ${PRODUCT_THREADS}u + i % half;
      parts[at] += parts[at + half];
    }
    workgroupBarrier();
  }
  if (t >= ${batch * PRODUCT_ROWS}u) { return; }
  let m = m0 + t / ${PRODUCT_ROWS}u;
  let n = n0 + t % ${PRODUCT_ROWS}u;
  if (m >= u.rows || n >= u.size) { return; }
  let at = (t / ${PRODUCT_ROWS}u * ${J}u + t % ${PRODUCT_ROWS}u) * ${PRODUCT_THREADS}u;
${
  isGated
    ? `  let gate = parts[at]${hasBias ? ' + bias(u.gate + n)' : ''};
  let value = parts[at + ${PRODUCT_ROWS * PRODUCT_THREADS}u]${hasBias ? ' + bias(u.value + n)' : ''};
  y[m * u.size + n] = gate / (1.0 + exp(-gate)) * value;`
    : `  y[m * u.size + n] = parts[at]${hasBias ? ' + bias(n)' : ''}${hasResidual ? ' + residual[m * u.size + n]' : ''};`
}
}`;
}
