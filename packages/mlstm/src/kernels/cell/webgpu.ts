import type { FastKernel } from '@bytelm/core';
import { reduction, runWgsl } from '@bytelm/core/webgpu';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { cellSizes, equalChunk, type CellAttrs, type CellInput } from './attrs.js';
import { cellUniforms, chunkStates, scaleOf, scores, values, weighed, type Cell } from './products.js';
import * as text from './wgsl.js';

type Inputs = { [K in CellInput]?: TensorInfo };

/** Largest chunk: the backward kernel that sums pairs has a thread for each of its positions. */
const MOST = 64;

/** Equal chunks of a multiple of four positions, the weights of all positions, and m after the last, when asked for. */
export function begin(backend: KernelBackend, i: Inputs, attrs: CellAttrs, wantsFinal: boolean): Cell & { finalM: TensorInfo | undefined } {
  const sizes = cellSizes(i.q!, i.v!);
  const { batch, length, heads } = sizes;
  const size = Math.ceil(equalChunk(length, Math.min(attrs.chunkSize, MOST)) / 4) * 4;
  const c = { ...sizes, backend, size, chunks: Math.ceil(length / size), hasIds: i.documentIds !== undefined };
  const shared = { u32: cellUniforms(c), threads: batch * c.chunks * heads };
  const [weights, ends] = runWgsl(backend, {
    ...shared,
    key: 'mlstm sums',
    inputs: { inputGate: i.inputGate, forgetGate: i.forgetGate, ids: i.documentIds, lengths: i.lengths },
    outputs: { 'weights: u32': { shape: [text.PLANES * batch * length * heads + batch * length], dtype: 'int32' }, ends: { shape: [batch, c.chunks, heads, 3] } },
    declare: () => text.LOG_SIGMOID,
    main: text.sums,
  }) as [TensorInfo, TensorInfo];
  const [, finalM] = runWgsl(backend, {
    ...shared,
    key: 'mlstm stabilisers',
    inputs: { initial: i.m },
    outputs: { ends, finalM: wantsFinal ? { shape: [batch, heads] } : undefined },
    threads: batch * heads,
    main: text.stabilisers,
  });
  runWgsl(backend, {
    ...shared,
    key: 'mlstm weights',
    inputs: { ends, ids: i.documentIds },
    outputs: { 'weights: u32': weights },
    main: text.weigh,
  });
  backend.disposeData(ends.dataId);
  return { ...c, weights, finalM };
}

/** In place: what each chunk adds to a state of `width` values becomes what enters it (`reverse`: the gradient of what leaves it). @returns the last one, when asked for. */
export function carry(c: Cell, states: TensorInfo, width: number, initial: TensorInfo | undefined, { reverse, final }: { reverse: boolean; final: number[] | undefined }): TensorInfo | undefined {
  return runWgsl(c.backend, {
    key: `mlstm carry${reverse ? ' reverse' : ''}`,
    inputs: { 'weights: u32': c.weights, initial },
    outputs: { states, finalState: final && { shape: final } },
    u32: { ...cellUniforms(c), width },
    threads: c.batch * c.heads * width,
    declare: () => text.WEIGHTS,
    main: (has) => text.carry(reverse, has),
  })[1];
}

/** [C, n] entering each chunk and after the last. */
export function states(c: Cell, i: Inputs, wantsFinal: boolean): { C: TensorInfo; n: TensorInfo; finalC: TensorInfo | undefined; finalN: TensorInfo | undefined } {
  const { backend, batch, heads, keyDim, valueDim, chunks } = c;
  const C = chunkStates(c, { name: 'keys', tensor: i.k!, dim: 'keyDim', ...weighed('out') }, { name: 'values', tensor: i.v!, dim: 'valueDim' });
  const [n] = runWgsl(backend, {
    key: 'mlstm normalizers',
    inputs: { 'weights: u32': c.weights, keys: i.k },
    outputs: { states: { shape: [batch * chunks, heads, keyDim] } },
    u32: cellUniforms(c),
    threads: batch * chunks * heads * keyDim,
    declare: () => text.WEIGHTS,
    main: () => text.normalizers,
  }) as [TensorInfo];
  const finalC = carry(c, C, keyDim * valueDim, i.C, { reverse: false, final: wantsFinal ? [batch, heads, keyDim, valueDim] : undefined });
  const finalN = carry(c, n, keyDim, i.n, { reverse: false, final: wantsFinal ? [batch, heads, keyDim] : undefined });
  return { C, n, finalC, finalN };
}

/** Planes q.n and denominators, (2, B, L, H). @param n entering each chunk, where anything does. */
export function denominators(c: Cell, q: TensorInfo, pairs: TensorInfo, n: TensorInfo | undefined, eps: number): TensorInfo {
  return runWgsl(c.backend, {
    key: 'mlstm denominators',
    inputs: { 'weights: u32': c.weights, q, scores: pairs, entry: n },
    outputs: { dens: { shape: [2, c.batch, c.length, c.heads] } },
    u32: cellUniforms(c),
    f32: { scale: scaleOf(c), eps },
    workgroups: Math.ceil((c.batch * c.length * c.heads) / 4),
    declare: () => text.WEIGHTS + reduction('sum16', 64, { lanes: 16 }),
    main: (has) => text.denominators(has('entry')),
  })[0]!;
}

export const cellWebGpu: FastKernel<CellInput, CellAttrs> = ({ inputs: i, attrs, backend }) => {
  if (i.q!.shape.includes(0) || i.v!.shape.includes(0)) return null;
  const c = begin(backend, i, attrs, attrs.returnFinalState);
  // With one chunk and no initial state nothing enters.
  const enters = c.chunks > 1 || i.C !== undefined;
  const s = enters || attrs.returnFinalState ? states(c, i, attrs.returnFinalState) : undefined;
  const pairs = scores(c, i.q!, i.k!);
  const dens = denominators(c, i.q!, pairs, enters ? s!.n : undefined, attrs.eps);
  const h = values(c, { q: i.q!, v: i.v!, scores: pairs, entry: enters ? s!.C : undefined, dens });
  for (const t of [c.weights, s?.C, s?.n, pairs, dens]) if (t) backend.disposeData(t.dataId);
  return attrs.returnFinalState ? [h, s!.finalC!, s!.finalN!, c.finalM!] : [h];
};
