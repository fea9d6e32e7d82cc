import { f32, isSoftwareDevice, storeDense, u32, webGpuMatMul, type Binding, type Epilogue, type Operand, type Tile, type Uniforms } from '@bytelm/core/webgpu';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import type { CellSizes } from './attrs.js';
import { PLANE, scaled, WEIGHTS } from './wgsl.js';

// The matrix products of the chunkwise cell. Batches are (chunks of all rows) x heads.

/** One call on a device: sizes, and what the gates say (see PLANE). */
export interface Cell extends CellSizes {
  backend: KernelBackend;
  /** Positions of a chunk, a multiple of 4. */
  size: number;
  chunks: number;
  hasIds: boolean;
  weights: TensorInfo;
}

export const cellUniforms = (c: Omit<Cell, 'weights'>) => ({
  positions: c.batch * c.length,
  length: c.length,
  heads: c.heads,
  keyDim: c.keyDim,
  valueDim: c.valueDim,
  size: c.size,
  chunks: c.chunks,
});

export const scaleOf = ({ keyDim }: Pick<Cell, 'keyDim'>): number => 1 / Math.sqrt(keyDim);

const uniforms = (c: Cell): Uniforms => ({ ...Object.fromEntries(Object.entries(cellUniforms(c)).map(([name, value]) => [name, u32(value)])), scale: f32(scaleOf(c)) });

/** What every product here shares. An adapter on the CPU compiles for seconds where tiles are large. */
const shared = (c: Cell, key: string) => ({
  key: `mlstm ${key}${c.hasIds ? ' ids' : ''}`,
  setup: SETUP,
  uniforms: uniforms(c),
  bindings: [weightsOf(c)],
  functions: WEIGHTS + scaled(c.hasIds),
  ...(isSoftwareDevice(c.backend) && { tile: { tx: 8, ty: 8, rm: 4, rn: 4, bk: 16, unroll: 1 } satisfies Tile }),
});

/** `base + start` is the chunk's first position among those of all rows. */
const SETUP = 'let base = bo / u.chunks * u.length; let start = bo % u.chunks * u.size;';
const weightsOf = (c: Cell): Binding => ({ name: 'weights', type: 'u32', tensor: c.weights });
const widthFor = (...sizes: number[]): 1 | 4 => (sizes.every((n) => n % 4 === 0) ? 4 : 1);
const typeOf = (width: 1 | 4) => (width === 4 ? 'vec4f' : 'f32');
const bind = (name: string, tensor: TensorInfo, width: 1 | 4): Binding => ({ name, type: typeOf(width), tensor });
/** Index of a value in vectors of `width`. */
const at = (text: string, width: 1 | 4): string => (width === 4 ? `(${text}) / 4u` : text);
/** Positions behind the end are read as the last one; what is made of them is multiplied by 0 or not stored. */
const position = (text: string): string => `(base + min(start + ${text}, u.length - 1u))`;
const shapeOf = (c: Cell, ...rest: number[]) => [c.batch * c.chunks, c.heads, ...rest];

/** Rows of q, k, v or of h's gradient (B, L, H, X) of a chunk and head `bi`; 0 behind the end. */
export interface Rows {
  name: string;
  tensor: TensorInfo;
  /** X, as a uniform's name. */
  dim: 'keyDim' | 'valueDim';
  /** Factor of a position: an expression over `where` (its place among all rows). */
  factor?: ((where: string) => string) | undefined;
  /** Names the factor. */
  key?: string | undefined;
  bindings?: readonly Binding[] | undefined;
}

export function rows(c: Cell, { name, tensor, dim, factor, key = '', bindings = [] }: Rows, positions: 'outer' | 'k'): Operand {
  const width = widthFor(c[dim]);
  const load = (t: string, x: string) =>
    `select(${typeOf(width)}(0.0), ${name}[${at(`(${position(t)} * u.heads + bi) * u.${dim} + ${x}`, width)}]${factor ? ` * (${factor(position(t))})` : ''}, start + ${t} < u.length)`;
  return {
    key: `${name} by ${positions} ${key} x${width}`,
    bindings: [bind(name, tensor, width), ...bindings],
    along: positions === 'outer' ? 'k' : 'outer',
    width,
    load: (outer, k) => (positions === 'outer' ? load(outer, k) : load(k, outer)),
  };
}

const planeAt = (which: keyof typeof PLANE) => (where: string) => `plane(${PLANE[which]}u, ${where}, bi)`;
export const weighed = (which: keyof typeof PLANE, times = '') => ({ key: which + times, factor: (where: string) => planeAt(which)(where) + times });

/** Σ left_t ⊗ right_t over each chunk: (B·chunks, H, K, V). */
export function chunkStates(c: Cell, left: Rows, right: Rows): TensorInfo {
  return webGpuMatMul(c.backend, {
    ...shared(c, 'chunk states'),
    m: c.keyDim, n: c.valueDim, k: c.size, batch: [c.batch * c.chunks, c.heads],
    a: rows(c, left, 'k'),
    b: rows(c, right, 'k'),
    epilogue: storeDense({ out: { shape: shapeOf(c, c.keyDim, c.valueDim) }, m: c.keyDim, n: c.valueDim, inner: c.heads }),
  })[0]!;
}

/** q.k / sqrt(K) times the scaled weights, (B·chunks, H, Q, Q), zeros above the diagonal. */
export function scores(c: Cell, q: TensorInfo, k: TensorInfo): TensorInfo {
  return webGpuMatMul(c.backend, {
    ...shared(c, 'scores'),
    m: c.size, n: c.size, k: c.keyDim, batch: [c.batch * c.chunks, c.heads],
    a: rows(c, { name: 'queries', tensor: q, dim: 'keyDim' }, 'outer'),
    b: rows(c, { name: 'keys', tensor: k, dim: 'keyDim' }, 'outer'),
    epilogue: {
      key: 'weighed',
      outputs: [{ name: 'y', type: 'vec4f', out: { shape: shapeOf(c, c.size, c.size) } }],
      width: 4,
      store: (v, m, n) => `y[((batch * u.size + ${m}) * u.size + ${n}) / 4u] = ${v} * u.scale * scaled4(base, start, ${n}, ${m}, bi);`,
    },
  })[0]!;
}

/** Stores (B, L, H, X): `value` of what came, `where` the position, `n` the column, `y[at]` what was there. */
export function storeRows(c: Cell, dim: 'keyDim' | 'valueDim', options: { into?: TensorInfo; key: string; value: (v: string, where: string, n: string) => string; bindings?: readonly Binding[] }): Epilogue {
  const width = widthFor(c[dim]);
  return {
    key: `${options.key} x${width}`,
    bindings: options.bindings ?? [],
    outputs: [{ name: 'y', type: typeOf(width), out: options.into ?? { shape: [c.batch, c.length, c.heads, c[dim]] } }],
    width,
    store: (v, m, n) =>
      `if (start + ${m} < u.length) { let where_ = base + start + ${m}; let at = ${at(`(where_ * u.heads + bi) * u.${dim} + ${n}`, width)}; y[at] = ${options.value(v, 'where_', n)}; }`,
  };
}

/**
 * h (B, L, H, V): q weighed by what enters the chunk times its state C, plus scores times v, over the denominator. One product: the inner axis
 * runs over the state's K first, then over the chunk's positions.
 */
export function values(c: Cell, { q, v, scores: pairs, entry, dens }: { q: TensorInfo; v: TensorInfo; scores: TensorInfo; entry: TensorInfo | undefined; dens: TensorInfo }): TensorInfo {
  const across = entry ? c.keyDim : 0;
  const width = widthFor(c.keyDim);
  const valueWidth = widthFor(c.valueDim);
  return webGpuMatMul(c.backend, {
    ...shared(c, 'values'), uniforms: { ...uniforms(c), across: u32(across) },
    m: c.size, n: c.valueDim, k: across + c.size, batch: [c.batch * c.chunks, c.heads],
    a: {
      key: `queries and scores x${width}`,
      bindings: [bind('queries', q, width), bind('scores', pairs, width)],
      functions: `
fn left(base: u32, start: u32, batch: u32, head: u32, row: u32, k: u32) -> ${typeOf(width)} {
  if (k < u.across) {
    let position = ${position('row')};
    return queries[${at('(position * u.heads + head) * u.keyDim + k', width)}] * (plane(${PLANE.into}u, position, head) * u.scale);
  }
  return scores[${at('(batch * u.size + row) * u.size + k - u.across', width)}];
}
`,
      along: 'k',
      width,
      load: (t, k) => `left(base, start, batch, bi, ${t}, ${k})`,
    },
    b: {
      key: `values x${valueWidth}`,
      bindings: [bind('values', v, valueWidth), bind('entry', entry ?? v, valueWidth)],
      functions: `
fn right(base: u32, start: u32, batch: u32, head: u32, column: u32, k: u32) -> ${typeOf(valueWidth)} {
  if (k < u.across) { return entry[${at('(batch * u.keyDim + k) * u.valueDim + column', valueWidth)}]; }
  return values[${at(`(${position('k - u.across')} * u.heads + head) * u.valueDim + column`, valueWidth)}];
}
`,
      along: 'outer',
      width: valueWidth,
      load: (n, k) => `right(base, start, batch, bi, ${n}, ${k})`,
    },
    epilogue: storeRows(c, 'valueDim', {
      key: 'over denominators',
      value: (x, where) => `${x} / dens[(u.positions + ${where}) * u.heads + bi]`,
      bindings: [bind('dens', dens, 1)],
    }),
    kTo: 'u.across + m0 + BM',
  })[0]!;
}

const KEEP = (v: string): string => `y[at] + ${v}`;
const overDenominator = (dens: TensorInfo) => ({ key: 'over dens', factor: (where: string) => `1.0 / dens[(u.positions + ${where}) * u.heads + bi]`, bindings: [bind('dens', dens, 1)] });
const dhRows = (dh: TensorInfo, dens: TensorInfo): Rows => ({ name: 'dh', tensor: dh, dim: 'valueDim', ...overDenominator(dens) });

/** What each chunk adds to the gradient of C: Σ q ⊗ dh, weighed and over the denominators. */
export const stateGradients = (c: Cell, q: TensorInfo, dh: TensorInfo, dens: TensorInfo): TensorInfo =>
  chunkStates(c, { name: 'queries', tensor: q, dim: 'keyDim', ...weighed('into', ' * u.scale') }, dhRows(dh, dens));

/** dh.v over the denominator plus the gradient of q.n: the gradient of every pair's score, (B·chunks, H, Q, Q). */
export function pairGradients(c: Cell, dh: TensorInfo, v: TensorInfo, dens: TensorInfo, pulls: TensorInfo): TensorInfo {
  return webGpuMatMul(c.backend, {
    ...shared(c, 'pairs'),
    m: c.size, n: c.size, k: c.valueDim, batch: [c.batch * c.chunks, c.heads],
    a: rows(c, dhRows(dh, dens), 'outer'),
    b: rows(c, { name: 'values', tensor: v, dim: 'valueDim' }, 'outer'),
    epilogue: {
      key: 'pairs',
      bindings: [bind('pulls', pulls, 1)],
      outputs: [{ name: 'y', type: 'vec4f', out: { shape: shapeOf(c, c.size, c.size) } }],
      width: 4,
      store: (x, m, n) => `y[((batch * u.size + ${m}) * u.size + ${n}) / 4u] = ${x} + pulls[(u.positions + ${position(m)}) * u.heads + bi];`,
    },
  })[0]!;
}

/** A matrix (B·chunks, H, K, V) as the second factor; which of its axes the product sums over. */
const stateOperand = (c: Cell, tensor: TensorInfo, over: 'keyDim' | 'valueDim'): Operand => {
  const width = widthFor(c.valueDim);
  const load = (k: string, v: string) => `states[${at(`(batch * u.keyDim + ${k}) * u.valueDim + ${v}`, width)}]`;
  return {
    key: `states over ${over} x${width}`,
    bindings: [bind('states', tensor, width)],
    along: over === 'valueDim' ? 'k' : 'outer',
    width,
    load: (outer, k) => (over === 'valueDim' ? load(outer, k) : load(k, outer)),
  };
};

/** Pairs (B·chunks, H, Q, Q) as the first factor, rows `to` or, turned, `at`; with their scaled weights when asked for. */
const pairOperand = (name: string, tensor: TensorInfo, { isTurned, isScaled }: { isTurned: boolean; isScaled: boolean }): Operand => {
  const load = (t: string, s: string) =>
    `${name}[((batch * u.size + ${t}) * u.size + ${s}) / 4u]${isScaled ? ` * scaled4(base, start, ${s}, ${t}, bi)` : ''}`;
  return {
    key: `${name}${isTurned ? ' turned' : ''}${isScaled ? ' scaled' : ''}`,
    bindings: [bind(name, tensor, 4)],
    along: isTurned ? 'outer' : 'k',
    width: 4,
    load: (outer, k) => (isTurned ? load(k, outer) : load(outer, k)),
  };
};

/** A gradient's part through the states: [C, n] entering for q, their gradients leaving for k. */
export interface Through {
  matrix: TensorInfo;
  vector: TensorInfo;
}

/** The part of dq (by 1 / scale) through the states that enter. */
export function queriesThroughStates(c: Cell, dh: TensorInfo, dens: TensorInfo, pulls: TensorInfo, { matrix, vector }: Through): TensorInfo {
  const width = widthFor(c.keyDim);
  return webGpuMatMul(c.backend, {
    ...shared(c, 'queries through states'),
    m: c.size, n: c.keyDim, k: c.valueDim, batch: [c.batch * c.chunks, c.heads],
    a: rows(c, dhRows(dh, dens), 'outer'),
    b: stateOperand(c, matrix, 'valueDim'),
    epilogue: storeRows(c, 'keyDim', {
      key: 'entered',
      value: (x, where, n) => `(${x} + pulls[(u.positions + ${where}) * u.heads + bi] * vector[${at(`batch * u.keyDim + ${n}`, width)}]) * plane(${PLANE.into}u, ${where}, bi)`,
      bindings: [bind('pulls', pulls, 1), bind('vector', vector, width)],
    }),
  })[0]!;
}

/** Adds to it what comes from the chunk's own pairs, and scales. */
export function queryGradient(c: Cell, pairs: TensorInfo, k: TensorInfo, into: TensorInfo | undefined): TensorInfo {
  return webGpuMatMul(c.backend, {
    ...shared(c, 'query gradient'),
    m: c.size, n: c.keyDim, k: c.size, batch: [c.batch * c.chunks, c.heads],
    a: pairOperand('pairs', pairs, { isTurned: false, isScaled: true }),
    b: rows(c, { name: 'keys', tensor: k, dim: 'keyDim' }, 'k'),
    epilogue: storeRows(c, 'keyDim', { ...(into && { into }), key: into ? 'add and scale' : 'scale', value: (x) => `(${into ? KEEP(x) : x}) * u.scale` }),
  })[0]!;
}

/** The part of dk through the states that leave. */
export function keysThroughStates(c: Cell, v: TensorInfo, { matrix, vector }: Through): TensorInfo {
  const width = widthFor(c.keyDim);
  return webGpuMatMul(c.backend, {
    ...shared(c, 'keys through states'),
    m: c.size, n: c.keyDim, k: c.valueDim, batch: [c.batch * c.chunks, c.heads],
    a: rows(c, { name: 'values', tensor: v, dim: 'valueDim' }, 'outer'),
    b: stateOperand(c, matrix, 'valueDim'),
    epilogue: storeRows(c, 'keyDim', {
      key: 'left',
      value: (x, where, n) => `(${x} + vector[${at(`batch * u.keyDim + ${n}`, width)}]) * plane(${PLANE.out}u, ${where}, bi)`,
      bindings: [bind('vector', vector, width)],
    }),
  })[0]!;
}

export function keyGradient(c: Cell, pairs: TensorInfo, q: TensorInfo, into: TensorInfo | undefined): TensorInfo {
  return webGpuMatMul(c.backend, {
    ...shared(c, 'key gradient'),
    m: c.size, n: c.keyDim, k: c.size, batch: [c.batch * c.chunks, c.heads],
    a: pairOperand('pairs', pairs, { isTurned: true, isScaled: true }),
    b: rows(c, { name: 'queries', tensor: q, dim: 'keyDim', key: 'scale', factor: () => 'u.scale' }, 'k'),
    epilogue: storeRows(c, 'keyDim', { ...(into && { into }), key: into ? 'add' : 'store', value: into ? KEEP : (x) => x }),
  })[0]!;
}

/** dv: through the states that leave, where `exit` is given, and through the chunk's own scores. */
export function valueGradient(c: Cell, scored: TensorInfo, k: TensorInfo, dh: TensorInfo, dens: TensorInfo, exit: TensorInfo | undefined): TensorInfo {
  const sizes = { m: c.size, n: c.valueDim, batch: [c.batch * c.chunks, c.heads] as const };
  const into =
    exit &&
    webGpuMatMul(c.backend, {
      ...shared(c, 'values through states'), ...sizes, k: c.keyDim,
      a: rows(c, { name: 'keys', tensor: k, dim: 'keyDim', ...weighed('out') }, 'outer'),
      b: stateOperand(c, exit, 'keyDim'),
      epilogue: storeRows(c, 'valueDim', { key: 'store', value: (x) => x }),
    })[0];
  return webGpuMatMul(c.backend, {
    ...shared(c, 'value gradient'), ...sizes, k: c.size,
    a: pairOperand('scores', scored, { isTurned: true, isScaled: false }),
    b: rows(c, dhRows(dh, dens), 'k'),
    epilogue: storeRows(c, 'valueDim', { ...(into && { into }), key: into ? 'add' : 'store', value: into ? KEEP : (x) => x }),
  })[0]!;
}
