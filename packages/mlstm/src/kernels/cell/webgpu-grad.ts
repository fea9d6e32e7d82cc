import type { FastKernel } from '@bytelm/core';
import { reduction, runWgsl, WGSL } from '@bytelm/core/webgpu';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { cellGradOutputs, type CellAttrs, type CellGradInput, type CellInput } from './attrs.js';
import { cellUniforms, keyGradient, keysThroughStates, pairGradients, queriesThroughStates, queryGradient, scaleOf, scores, stateGradients, valueGradient, type Cell } from './products.js';
import { begin, carry, denominators, states } from './webgpu.js';
import * as grad from './wgsl-grad.js';
import { LOG_SIGMOID, WEIGHTS } from './wgsl.js';

type Inputs = { [K in CellGradInput]?: TensorInfo };

/** Recomputes weights, scores and chunk states; then a product or a short kernel for each line of `cellGradPortable`. */
export const cellGradWebGpu: FastKernel<CellGradInput, CellAttrs> = ({ inputs: i, attrs, backend }) => {
  if (i.q!.shape.includes(0) || i.v!.shape.includes(0)) return null;
  const { q, k, v, h, dh } = i as { [K in CellGradInput]: TensorInfo };
  const temporary: TensorInfo[] = [];
  const kept = <T extends TensorInfo | undefined>(t: T): T => {
    if (t) temporary.push(t);
    return t;
  };
  const c = begin(backend, i, attrs, false);
  kept(c.weights);
  const u32 = cellUniforms(c);
  const floats = { scale: scaleOf(c), eps: attrs.eps, truth: attrs.publishedGradient ? 0 : 1 };
  const positions = c.batch * c.length * c.heads;
  const enters = c.chunks > 1 || i.C !== undefined;
  const leaves = c.chunks > 1 || i.dC !== undefined;

  const isTrue = !attrs.publishedGradient;
  const wantsFinal = isTrue && i.dC !== undefined;
  const entry = enters || wantsFinal ? states(c, i, wantsFinal) : undefined;
  for (const t of [entry?.C, entry?.n, entry?.finalC, entry?.finalN]) kept(t);
  const scored = kept(scores(c, q, k));
  const dens = kept(denominators(c, q, scored, enters ? entry!.n : undefined, attrs.eps));
  const [pulls] = runWgsl(backend, {
    key: 'mlstm pulls',
    inputs: { 'weights: u32': c.weights, h, dh, dens },
    outputs: { pulls: { shape: [2, c.batch, c.length, c.heads] } },
    u32,
    f32: floats,
    workgroups: Math.ceil(positions / 4),
    declare: () => WEIGHTS + reduction('sum16', 64, { lanes: 16 }),
    main: () => grad.pulls,
  }) as [TensorInfo];
  kept(pulls);

  const exit = enters || leaves ? exits(c, i, { dens, pulls, wantsInitial: i.C !== undefined }) : undefined;
  for (const t of [exit?.C, exit?.n]) kept(t);
  const pairs = kept(pairGradients(c, dh, v, dens, pulls));

  // Planes: <q, dq through states>, <k, dk through states>.
  let rows: TensorInfo | undefined;
  const dot = (plane: number, x: TensorInfo, y: TensorInfo, scale: number) => {
    const out = runWgsl(backend, {
      key: 'mlstm dots',
      inputs: { x, y },
      outputs: { rows: rows ?? { shape: [2, c.batch, c.length, c.heads] } },
      u32: { ...u32, plane },
      f32: { scale },
      workgroups: Math.ceil(positions / 4),
      declare: () => reduction('sum16', 64, { lanes: 16 }),
      main: () => grad.dots,
    });
    rows ??= kept(out[0]!);
  };
  const dqState = enters ? queriesThroughStates(c, dh, dens, pulls, { matrix: entry!.C, vector: entry!.n }) : undefined;
  if (dqState) dot(0, q, dqState, floats.scale);
  const dq = queryGradient(c, pairs, k, dqState);
  const dkState = leaves ? keysThroughStates(c, v, { matrix: exit!.C, vector: exit!.n }) : undefined;
  if (dkState) dot(1, k, dkState, 1);
  const dk = keyGradient(c, pairs, q, dkState);
  const dv = valueGradient(c, scored, k, dh, dens, leaves ? exit!.C : undefined);

  const [, sums] = runWgsl(backend, {
    key: 'mlstm pairs across',
    inputs: { scores: scored },
    outputs: { pairs, sums: { shape: [2, c.batch, c.length, c.heads] } },
    u32,
    workgroups: c.batch * c.chunks * c.heads,
    main: () => grad.pairsAcross,
  }) as [TensorInfo, TensorInfo];
  kept(sums);
  const through = enters && leaves ? kept(stateDots(c, c.batch * c.chunks * c.heads, 1, [exit!.C, entry!.C, exit!.n, entry!.n])) : undefined;
  runWgsl(backend, {
    key: `mlstm through states${enters ? ' enters' : ''}${leaves ? ' leaves' : ''}`,
    inputs: { 'weights: u32': c.weights, rows, through },
    outputs: { sums },
    u32,
    threads: c.batch * c.chunks * c.heads,
    declare: () => WEIGHTS,
    main: (has) => grad.throughStates(enters, leaves, has),
  });

  let dm: TensorInfo | undefined;
  if (isTrue) {
    const last = wantsFinal ? kept(stateDots(c, c.batch * c.heads, -1, [i.dC!, entry!.finalC!, i.dn!, entry!.finalN!], i.dm)) : undefined;
    const [, first] = runWgsl(backend, {
      key: `mlstm stabiliser gradient${c.hasIds ? ' ids' : ''}`,
      inputs: { 'weights: u32': c.weights, inputGate: i.inputGate, forgetGate: i.forgetGate, pulls, initial: i.m, last },
      outputs: { sums, dm: { shape: [c.batch, c.heads] } },
      u32,
      f32: floats,
      threads: c.batch * c.heads,
      declare: () => WEIGHTS + LOG_SIGMOID,
      main: (has) => grad.stabiliserGradient(c.hasIds, has),
    }) as [TensorInfo, TensorInfo];
    kept(first);
    // The initial state was scaled by e^-m.
    if (i.m) dm = stateDots(c, c.batch * c.heads, 1, [exit!.initialC!, i.C!, exit!.initialN!, i.n!], first);
  } else if (i.m) dm = stateDots(c, c.batch * c.heads, 0, [i.C!, i.C!, i.n!, i.n!]);
  const [inputGate, forgetGate] = runWgsl(backend, {
    key: 'mlstm gate gradients',
    inputs: { 'weights: u32': c.weights, sums, forgetGate: i.forgetGate },
    outputs: { dInput: { shape: i.inputGate!.shape }, dForget: { shape: i.forgetGate!.shape } },
    u32,
    threads: positions,
    declare: () => WEIGHTS + WGSL.activations,
    main: () => grad.gates,
  }) as [TensorInfo, TensorInfo];
  const grads: { [K in CellInput]?: TensorInfo | undefined } = { q: dq, k: dk, v: dv, inputGate, forgetGate, C: exit?.initialC, n: exit?.initialN, m: dm };
  for (const t of temporary) backend.disposeData(t.dataId);
  return cellGradOutputs((n) => i[n] !== undefined).map((n) => grads[n]!);
};

/** Gradients of [C, n] leaving each chunk, and of the initial ones when asked for. */
function exits(c: Cell, i: Inputs, { dens, pulls, wantsInitial }: { dens: TensorInfo; pulls: TensorInfo; wantsInitial: boolean }) {
  const { backend, batch, heads, keyDim, valueDim, chunks } = c;
  const C = stateGradients(c, i.q!, i.dh!, dens);
  const [n] = runWgsl(backend, {
    key: 'mlstm normalizer gradients',
    inputs: { 'weights: u32': c.weights, q: i.q, pulls },
    outputs: { states: { shape: [batch * chunks, heads, keyDim] } },
    u32: cellUniforms(c),
    f32: { scale: scaleOf(c) },
    threads: batch * chunks * heads * keyDim,
    declare: () => WEIGHTS,
    main: () => grad.normalizerGradients,
  }) as [TensorInfo];
  const initialC = carry(c, C, keyDim * valueDim, i.dC, { reverse: true, final: wantsInitial ? [batch, heads, keyDim, valueDim] : undefined });
  const initialN = carry(c, n, keyDim, i.dn, { reverse: true, final: wantsInitial ? [batch, heads, keyDim] : undefined });
  return { C, n, initialC, initialN };
}

/** Of each of `count` states: base + factor (<a, b> + <c, d>), a and b matrices, c and d vectors. */
function stateDots({ backend, batch, heads, keyDim, valueDim }: Cell, count: number, factor: number, [a, b, c, d]: [TensorInfo, TensorInfo, TensorInfo, TensorInfo], base?: TensorInfo): TensorInfo {
  return runWgsl(backend, {
    key: 'mlstm state dots',
    inputs: { a, b, c, d, base },
    outputs: { y: { shape: count === batch * heads ? [batch, heads] : [count] } },
    u32: { wide: keyDim * valueDim, narrow: keyDim },
    f32: { sign: factor },
    workgroups: count,
    declare: () => reduction('sum64', 64),
    main: (has) => grad.stateDots(has('base')),
  })[0]!;
}
