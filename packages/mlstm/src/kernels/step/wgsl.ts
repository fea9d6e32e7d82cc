import type { ResolvedMLSTMConfig } from '../../config.js';

// Texts of the decode step's kernels. A model's sizes are constants: they never change while it decodes.

/** Threads of a workgroup that share one row of a weight. */
export const LANES = 16;

/** Weights (rows, D) that one kernel multiplies x with, by their names in WGSL, and where the products go. */
export interface Part {
  weight: string;
  rows: number;
  bias?: string;
  /** An output and the first of the part's columns in it, of so many. */
  to: string;
  column: number;
  columns: number;
}

/** Rows that take no part leave before they read weights or touch their states. */
const leave = (has: (name: string) => boolean): string => (has('isActive') ? '\n  if (isActive[r] == 0) { return; }' : '');

/** A workgroup has four rows of the weights and one of x. */
const place = (rows: number, has: (name: string) => boolean): string => `
  let lane = local % ${LANES}u;
  let o = g % ${Math.ceil(rows / 4)}u * 4u + local / ${LANES}u;
  let r = g / ${Math.ceil(rows / 4)}u;${leave(has)}`;

const product = (width: number, into: string, weight: string, row: string): string => {
  const packs = width % 4 === 0 ? width / 4 : width;
  const term = width % 4 === 0 ? `dot(${weight}[${row} * ${packs}u + k], x[r * ${packs}u + k])` : `${weight}[${row} * ${packs}u + k] * x[r * ${packs}u + k]`;
  return `for (var k = lane; k < ${packs}u; k += ${LANES}u) { ${into} += ${term}; }`;
};

/** All rows of several weights with x, as if they stood below each other. */
export const projections = (width: number, parts: readonly Part[], has: (name: string) => boolean): string => {
  const total = parts.reduce((n, p) => n + p.rows, 0);
  const first = parts.map((_, i) => parts.slice(0, i).reduce((n, p) => n + p.rows, 0));
  const branches = (f: (p: Part, row: string) => string) =>
    parts.map((p, i) => `${i ? ' else ' : ''}if (o < ${first[i]! + p.rows}u) { ${f(p, `(o - ${first[i]}u)`)} }`).join('');
  return `${place(total, has)}
  var own = 0.0;
  ${branches((p, row) => product(width, 'own', p.weight, row))}
  let sum = sum16(own, local);
  if (lane == 0u) {
    ${branches((p, row) => `${p.to}[r * ${p.columns}u + ${p.column}u + ${row}] = sum${p.bias ? ` + ${p.bias}[${row}]` : ''};`)}
  }`;
};

/** silu(gate x) * (up x). */
export const gatedUp = (width: number, rows: number, has: (name: string) => boolean): string => `${place(rows, has)}
  var first = 0.0;
  var second = 0.0;
  if (o < ${rows}u) {
    ${product(width, 'first', 'gate', 'o')}
    ${product(width, 'second', 'up', 'o')}
  }
  let gated = sum16(first, local);
  let value = sum16(second, local);
  if (lane == 0u && o < ${rows}u) { y[r * ${rows}u + o] = silu(gated) * value; }`;

/** total = hidden (+ residual), y = its RMSNorm; a workgroup a row. */
export const norm = (width: number, has: (name: string) => boolean): string => `
  let base = g * ${width}u;
  var own = 0.0;
  for (var d = local; d < ${width}u; d += 64u) {
    let v = hidden[base + d]${has('residual') ? ' + residual[base + d]' : ''};
    total[base + d] = v;
    own += v * v;
  }
  let r = inverseSqrt(sumAll(own, local) / ${width}.0 + u.eps);
  for (var d = local; d < ${width}u; d += 64u) { y[base + d] = total[base + d] * r * weight[d]; }`;

/** The place of row r's states. */
const stateRow = (hasRows: boolean): string => (hasRows ? 'u32(rows[r])' : 'r');
const columns = ({ qkDim, vDim }: ResolvedMLSTMConfig): number => 2 * qkDim + vDim;

/** A workgroup has a head of a row: m and n one further, and what C is kept and entered with, and the inverse denominator: `factors` (R, H, 3). */
export const gates = (c: ResolvedMLSTMConfig, has: (name: string) => boolean): string => {
  const capped = (v: string) => (c.gateSoftCap ? `${c.gateSoftCap.toFixed(6)} * tanh(clamp(${v} / ${c.gateSoftCap.toFixed(6)}, -15.0, 15.0))` : v);
  return `
  let head = g % ${c.numHeads}u;
  let r = g / ${c.numHeads}u;${leave(has)}
  let at = ${stateRow(has('rows'))} * ${c.numHeads}u + head;
  let input = ${capped(`raw[r * ${2 * c.numHeads}u + head]`)};
  let forget = ${capped(`raw[r * ${2 * c.numHeads}u + ${c.numHeads}u + head]`)};
  let kept = m[at] + logSigmoid(forget);
  let next = max(kept, input);
  let keep = exp(kept - next);
  let enter = exp(input - next);
  let q = r * ${columns(c)}u + head * ${c.keyDim}u;
  var own = 0.0;
  for (var j = local; j < ${c.keyDim}u; j += 64u) {
    let v = keep * n[at * ${c.keyDim}u + j] + enter * qkv[q + ${c.qkDim}u + j];
    n[at * ${c.keyDim}u + j] = v;
    own += v * qkv[q + j];
  }
  let qn = sumAll(own, local) * u.scale;
  if (local == 0u) {
    m[at] = next;
    factors[g * 3u] = keep;
    factors[g * 3u + 1u] = enter;
    factors[g * 3u + 2u] = u.scale / (max(abs(qn), exp(-next)) + u.eps);
  }`;
};

/** A thread has a column of the C of a head of a row. */
export const cell = (c: ResolvedMLSTMConfig, has: (name: string) => boolean): string => `
  let v = i % ${c.valueDim}u;
  let row = i / ${c.valueDim}u;
  let head = row % ${c.numHeads}u;
  let r = row / ${c.numHeads}u;${leave(has)}
  let keep = factors[row * 3u];
  let base = r * ${columns(c)}u;
  let entering = factors[row * 3u + 1u] * qkv[base + ${2 * c.qkDim}u + head * ${c.valueDim}u + v];
  let state = (${stateRow(has('rows'))} * ${c.numHeads}u + head) * ${c.keyDim * c.valueDim}u + v;
  let q = base + head * ${c.keyDim}u;
  var sum = 0.0;
  for (var j = 0u; j < ${c.keyDim}u; j++) {
    let next = keep * C[state + j * ${c.valueDim}u] + entering * qkv[q + ${c.qkDim}u + j];
    C[state + j * ${c.valueDim}u] = next;
    sum += qkv[q + j] * next;
  }
  h[i] = sum * factors[row * 3u + 2u];`;
