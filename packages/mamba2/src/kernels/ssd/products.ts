import { isSoftwareDevice, storeDense, u32, webGpuMatMul, type Binding, type Epilogue, type Operand, type Tile, type Uniforms } from '@bytelm/core/webgpu';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { decays, PLANE, STEPS } from './wgsl.js';

// The matrix products of the chunked scan. Batches are (chunks of all rows) x (heads, or groups); states are kept as (N, P).

/** One call on a device: sizes, and what the positions say (see PLANE). */
export interface Scan {
  backend: KernelBackend;
  batch: number;
  length: number;
  heads: number;
  headDim: number;
  groups: number;
  state: number;
  /** Positions of a chunk, a multiple of 4. */
  size: number;
  chunks: number;
  hasIds: boolean;
  steps: TensorInfo;
}

export const scanUniforms = (s: Omit<Scan, 'steps'>) => ({
  positions: s.batch * s.length,
  length: s.length,
  heads: s.heads,
  headDim: s.headDim,
  groups: s.groups,
  perGroup: s.heads / s.groups,
  state: s.state,
  size: s.size,
  chunks: s.chunks,
});

const uniforms = (s: Scan): Uniforms => Object.fromEntries(Object.entries(scanUniforms(s)).map(([name, value]) => [name, u32(value)]));

/** What every product here shares. An adapter on the CPU compiles for seconds where tiles are large. */
const shared = (s: Scan, key: string) => ({
  key: `ssd ${key}${s.hasIds ? ' ids' : ''}`,
  setup: SETUP,
  uniforms: uniforms(s),
  bindings: [stepsOf(s)],
  functions: STEPS + decays(s.hasIds),
  ...(isSoftwareDevice(s.backend) && { tile: { tx: 8, ty: 8, rm: 4, rn: 4, bk: 16, unroll: 1 } satisfies Tile }),
});

/** `base + start` is the chunk's first position among those of all rows. */
const SETUP = 'let base = bo / u.chunks * u.length; let start = bo % u.chunks * u.size;';
const stepsOf = (s: Scan): Binding => ({ name: 'steps', type: 'u32', tensor: s.steps });
const bind = (name: string, tensor: TensorInfo, width: 1 | 4): Binding => ({ name, type: width === 4 ? 'vec4f' : 'f32', tensor });
const widthFor = (...sizes: number[]): 1 | 4 => (sizes.every((n) => n % 4 === 0) ? 4 : 1);
/** Index of a value in vectors of `width`. */
const at = (text: string, width: 1 | 4): string => (width === 4 ? `(${text}) / 4u` : text);
const typeOf = (width: 1 | 4): string => (width === 4 ? 'vec4f' : 'f32');
/** Positions behind the end are read as the last one; what is made of them is multiplied by 0 or not stored. */
const position = (text: string): string => `(base + min(start + ${text}, u.length - 1u))`;

/** What a value of a position and head is weighed with. */
export type Weight = 'none' | 'delta' | 'into' | 'delta out';
const factor = (weight: Weight, where: string, head: string): string =>
  ({
    none: '',
    delta: ` * plane(${PLANE.delta}u, ${where}, ${head})`,
    into: ` * plane(${PLANE.into}u, ${where}, ${head})`,
    'delta out': ` * (plane(${PLANE.delta}u, ${where}, ${head}) * plane(${PLANE.out}u, ${where}, ${head}))`,
  })[weight];

/** A factor of rows of values: which of the product's coordinates is the position, and the WGSL of value `n` at position `t`; `what` names that text. */
const rowsOf = (name: string, tensor: TensorInfo, width: 1 | 4, positions: 'outer' | 'k', what: string, load: (t: string, n: string) => string): Operand => ({
  key: `${name} by ${positions} ${what} x${width}`,
  bindings: [bind(name, tensor, width)],
  along: positions === 'outer' ? 'k' : 'outer',
  width,
  load: (outer, k) => (positions === 'outer' ? load(outer, k) : load(k, outer)),
});

/** Rows of B or C (B, L, G, N) of a chunk, group `group` (an expression). */
function groupRows(s: Scan, name: string, tensor: TensorInfo, positions: 'outer' | 'k', group: string): Operand {
  const width = widthFor(s.state);
  return rowsOf(name, tensor, width, positions, group, (t, n) => `${name}[${at(`(${position(t)} * u.groups + ${group}) * u.state + ${n}`, width)}]`);
}

/** Rows of x or dy (B, L, H, P) of a chunk and head `bi`, weighed; 0 behind the end. */
function headRows(s: Scan, name: string, tensor: TensorInfo, weight: Weight, positions: 'outer' | 'k'): Operand {
  const width = widthFor(s.headDim);
  const value = (t: string, p: string) => `${name}[${at(`(${position(t)} * u.heads + bi) * u.headDim + ${p}`, width)}]${factor(weight, position(t), 'bi')}`;
  return rowsOf(name, tensor, width, positions, weight, (t, p) => `select(${typeOf(width)}(0.0), ${value(t, p)}, start + ${t} < u.length)`);
}

/** G[t, j] = C_t . B_j, (B·chunks, G, Q, Q); with the arguments exchanged its transpose. */
export function gram(s: Scan, left: TensorInfo, right: TensorInfo): TensorInfo {
  const { size, groups } = s;
  return webGpuMatMul(s.backend, {
    ...shared(s, 'gram'),
    m: size, n: size, k: s.state, batch: [s.batch * s.chunks, groups],
    a: groupRows(s, 'leftRows', left, 'outer', 'bi'),
    b: groupRows(s, 'rightRows', right, 'outer', 'bi'),
    epilogue: storeDense({ out: { shape: [s.batch * s.chunks, groups, size, size] }, m: size, n: size, inner: groups }),
  })[0]!;
}

/** What each chunk adds to the state, (B·chunks, H, N, P): Σ rows_t ⊗ (weighed values_t). */
export function chunkStates(s: Scan, rows: TensorInfo, values: TensorInfo, weight: Weight): TensorInfo {
  return webGpuMatMul(s.backend, {
    ...shared(s, 'chunk states'),
    m: s.state, n: s.headDim, k: s.size, batch: [s.batch * s.chunks, s.heads],
    a: groupRows(s, 'groupRows', rows, 'k', 'bi / u.perGroup'),
    b: headRows(s, 'values', values, weight, 'k'),
    epilogue: storeDense({ out: { shape: [s.batch * s.chunks, s.heads, s.state, s.headDim] }, m: s.state, n: s.headDim, inner: s.heads }),
  })[0]!;
}

/** Both parts of `positions`: through the states, and within the chunk. */
export interface Mix {
  /** C and G, or for the gradient B and the transpose of G. */
  rows: TensorInfo;
  gram: TensorInfo;
  /** x by step sizes, or for the gradient dy. */
  values: TensorInfo;
  weight: 'delta' | 'none';
  /** (B·chunks, H, N, P). `undefined`: nothing goes through states. */
  states: TensorInfo | undefined;
  /** Pairs count from the later position to the earlier one. */
  reverse: boolean;
  /** Leaves out what happens within the chunk. */
  statesOnly?: boolean;
}

/**
 * (B, L, H, P): rows·states weighed by the decay from the chunk's entry (or to its end), and G weighed by the decays between two positions,
 * times the values. One product: the inner axis runs over the states' N first, then over the chunk's positions.
 */
export function mix(s: Scan, m: Mix, epilogue: Epilogue): TensorInfo {
  const across = m.states ? s.state : 0;
  const width = widthFor(s.state);
  const remains = m.reverse ? (name: string) => `${name}(base, start, row, j, head)` : (name: string) => `${name}(base, start, j, row, head)`;
  const plane = m.reverse ? PLANE.out : PLANE.into;
  const left: Operand = {
    key: `mix ${m.reverse ? 'reverse' : 'forward'} x${width}`,
    bindings: [bind('rows', m.rows, width), bind('gram', m.gram, width)],
    functions: `
fn mixLeft(base: u32, start: u32, chunkRow: u32, head: u32, row: u32, k: u32) -> ${typeOf(width)} {
  let group_ = head / u.perGroup;
  if (k < u.across) {
    let position = ${position('row')};
    return rows[${at('(position * u.groups + group_) * u.state + k', width)}] * plane(${plane}u, position, head);
  }
  let j = k - u.across;
  let weights = gram[${at('((chunkRow * u.groups + group_) * u.size + row) * u.size + j', width)}];
  return weights * ${remains(width === 1 ? 'remains' : m.reverse ? 'remainsTo4' : 'remainsFrom4')};
}
`,
    along: 'k',
    width,
    load: (outer, k) => `mixLeft(base, start, bo, bi, ${outer}, ${k})`,
  };
  const valueWidth = widthFor(s.headDim);
  const right: Operand = {
    key: `mix values ${m.weight} x${valueWidth}`,
    bindings: [bind('values', m.values, valueWidth), bind('states', m.states ?? m.values, valueWidth)],
    functions: `
fn mixRight(base: u32, start: u32, batch: u32, head: u32, p: u32, k: u32) -> ${typeOf(valueWidth)} {
  if (k < u.across) { return states[${at('(batch * u.state + k) * u.headDim + p', valueWidth)}]; }
  let position = ${position('k - u.across')};
  return values[${at('(position * u.heads + head) * u.headDim + p', valueWidth)}]${factor(m.weight, 'position', 'head')};
}
`,
    along: 'outer',
    width: valueWidth,
    load: (outer, k) => `mixRight(base, start, batch, bi, ${outer}, ${k})`,
  };
  return webGpuMatMul(s.backend, {
    ...shared(s, 'mix'), uniforms: { ...uniforms(s), across: u32(across) },
    m: s.size, n: s.headDim, k: across + (m.statesOnly ? 0 : s.size), batch: [s.batch * s.chunks, s.heads],
    a: left, b: right, epilogue,
    // Positions behind the tile's last one have no part in it.
    ...(m.reverse ? {} : { kTo: 'u.across + m0 + BM' }),
  })[0]!;
}

/** Stores (B, L, H, P), plus D x where `skip` is given. */
export function storePositions(s: Scan, options: { into?: TensorInfo; skip?: { D: TensorInfo; x: TensorInfo } | undefined } = {}): Epilogue {
  const width = widthFor(s.headDim);
  const { into, skip } = options;
  const isChannel = skip?.D.shape.length === 2;
  const index = (m: string, n: string) => at(`((base + start + ${m}) * u.heads + bi) * u.headDim + ${n}`, width);
  const D = isChannel ? `D[at % (u.heads * u.headDim${width === 4 ? ' / 4u' : ''})]` : 'D[bi]';
  return {
    key: `positions x${width}${into ? ' add' : ''}${skip ? ` D${isChannel ? ' channel' : ''}` : ''}`,
    bindings: skip ? [bind('D', skip.D, isChannel ? width : 1), bind('values', skip.x, width)] : [],
    outputs: [{ name: 'y', type: width === 4 ? 'vec4f' : 'f32', out: into ?? { shape: [s.batch, s.length, s.heads, s.headDim] } }],
    width,
    store: (v, m, n) => `if (start + ${m} < u.length) { let at = ${index(m, n)}; y[at] = ${into ? 'y[at] + ' : ''}${v}${skip ? ` + ${D} * values[at]` : ''}; }`,
  };
}

/** The gradient of every pair's weight before its decay, times that decay, (B·chunks, H, Q, Q); nothing above the diagonal is written. */
export function pairGradients(s: Scan, dy: TensorInfo, x: TensorInfo): TensorInfo {
  const { size, heads } = s;
  return webGpuMatMul(s.backend, {
    ...shared(s, 'pairs'),
    m: size, n: size, k: s.headDim, batch: [s.batch * s.chunks, heads],
    a: headRows(s, 'dy', dy, 'none', 'outer'),
    b: headRows(s, 'x', x, 'delta', 'outer'),
    epilogue: {
      key: 'pairs',
      outputs: [{ name: 'pairs', type: 'vec4f', out: { shape: [s.batch * s.chunks, heads, size, size] } }],
      width: 4,
      store: (v, m, n) => `pairs[((batch * u.size + ${m}) * u.size + ${n}) / 4u] = ${v} * remainsFrom4(base, start, ${n}, ${m}, bi);`,
    },
    skip: 'n0 >= m0 + BM',
  })[0]!;
}

/** dB or dC (B, L, G, N): through the pairs (B·chunks, G, Q, Q), and through the states of all heads of the group. */
export function groupGradient(
  s: Scan,
  { pairs, isTransposed, rows, values, weight, states }: { pairs: TensorInfo; isTransposed: boolean; rows: TensorInfo; values: TensorInfo; weight: Weight; states: TensorInfo | undefined },
): TensorInfo {
  const width = widthFor(s.state);
  const store = (into?: TensorInfo): Epilogue => ({
    key: `group rows x${width}${into ? ' add' : ''}`,
    outputs: [{ name: 'd', type: width === 4 ? 'vec4f' : 'f32', out: into ?? { shape: [s.batch, s.length, s.groups, s.state] } }],
    width,
    store: (v, m, n) =>
      `if (start + ${m} < u.length) { let at = ${at(`((base + start + ${m}) * u.groups + bi) * u.state + ${n}`, width)}; d[at] = ${into ? 'd[at] + ' : ''}${v}; }`,
  });
  const sizes = { m: s.size, n: s.state, batch: [s.batch * s.chunks, s.groups] as const };
  const pair = (t: string, j: string) => `pairs[((batch * u.size + ${t}) * u.size + ${j}) / 4u]`;
  const [d] = webGpuMatMul(s.backend, {
    ...shared(s, 'group gradient'), ...sizes, k: s.size,
    a: {
      key: isTransposed ? 'pairs transposed' : 'pairs',
      bindings: [bind('pairs', pairs, 4)],
      along: isTransposed ? 'outer' : 'k',
      width: 4,
      load: (outer, k) => (isTransposed ? pair(k, outer) : pair(outer, k)),
    },
    b: groupRows(s, 'rows', rows, 'k', 'bi'),
    epilogue: store(),
  }) as [TensorInfo];
  if (!states) return d;
  const valueWidth = widthFor(s.headDim);
  const head = (k: string) => `(bi * u.perGroup + ${k} / u.headDim)`;
  const stateAt = (n: string, k: string) => at(`((bo * u.heads + ${head(k)}) * u.state + ${n}) * u.headDim + ${k} % u.headDim`, valueWidth);
  const valueAt = (t: string, k: string) => at(`(${position(t)} * u.heads + bi * u.perGroup) * u.headDim + ${k}`, valueWidth);
  webGpuMatMul(s.backend, {
    ...shared(s, 'group gradient through states'), ...sizes, k: (s.heads / s.groups) * s.headDim,
    a: {
      key: `values of heads ${weight} x${valueWidth}`,
      bindings: [bind('values', values, valueWidth)],
      along: 'k',
      width: valueWidth,
      load: (t, k) => `(values[${valueAt(t, k)}]${factor(weight, position(t), head(k))})`,
    },
    b: { key: `states x${valueWidth}`, bindings: [bind('states', states, valueWidth)], along: 'k', width: valueWidth, load: (n, k) => `states[${stateAt(n, k)}]` },
    epilogue: store(d),
  });
  return d;
}
