import type { FastKernel } from '@bytelm/core';
import { reduction, runWgsl } from '@bytelm/core/webgpu';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { ssdGradOutputs, ssdSizes, type SsdAttrs, type SsdGradInput, type SsdInput } from './attrs.js';
import { chunkStates, gram, groupGradient, mix, pairGradients, scanUniforms, storePositions, type Scan } from './products.js';
import * as text from './wgsl.js';

type Inputs = { [K in SsdInput]?: TensorInfo };

/** Largest chunk: the kernel that sums pairs has a thread for each of its positions. */
const MOST = 64;

/** Equal chunks of a multiple of four positions, and the step sizes and decays of all of them. */
function begin(backend: KernelBackend, i: Inputs, attrs: SsdAttrs, withSlope: boolean): Scan {
  const sizes = ssdSizes(i.x!, i.B!);
  const { batch, length, heads } = sizes;
  const size = Math.ceil(length / Math.ceil(length / Math.min(attrs.chunkSize, MOST)) / 4) * 4;
  const s = { ...sizes, backend, size, chunks: Math.ceil(length / size), hasIds: i.documentIds !== undefined };
  const isLimited = attrs.dtMin > 0 || attrs.dtMax < Infinity;
  const [steps] = runWgsl(backend, {
    key: `ssd steps${attrs.dtSoftplus ? ' softplus' : ''}${withSlope ? ' slope' : ''}`,
    inputs: { dt: i.dt, dtBias: i.dtBias, A: i.A, ids: i.documentIds, lengths: i.lengths },
    outputs: { 'steps: u32': { shape: [text.PLANES * batch * length * heads + batch * length], dtype: 'int32' } },
    u32: scanUniforms(s),
    f32: { low: isLimited ? attrs.dtMin : -3e38, high: isLimited ? Math.min(attrs.dtMax, 3e38) : 3e38 },
    threads: batch * s.chunks * heads,
    declare: () => (attrs.dtSoftplus ? text.SOFTPLUS : ''),
    main: (has) => text.prepare(attrs.dtSoftplus, withSlope, has),
  }) as [TensorInfo];
  return { ...s, steps };
}

/** In place: what each chunk adds to the states becomes what enters it (`reverse`: the gradient of what leaves it). @returns the last state, when asked for. */
function carry(s: Scan, states: TensorInfo, initial: TensorInfo | undefined, { reverse, wantsFinal }: { reverse: boolean; wantsFinal: boolean }): TensorInfo | undefined {
  const { batch, heads, headDim, state } = s;
  const out = runWgsl(s.backend, {
    key: `ssd carry${reverse ? ' reverse' : ''}`,
    inputs: { 'steps: u32': s.steps, initial },
    outputs: { states, finalState: wantsFinal ? { shape: [batch, heads, headDim, state] } : undefined },
    u32: scanUniforms(s),
    threads: batch * heads * headDim * state,
    declare: () => text.STEPS,
    main: (has) => text.carry(reverse, has),
  });
  return out[1];
}

const isEmpty = (i: Inputs) => i.x!.shape.includes(0) || i.B!.shape.includes(0);

export const ssdWebGpu: FastKernel<SsdInput, SsdAttrs> = ({ inputs: i, attrs, backend }) => {
  if (isEmpty(i)) return null;
  const s = begin(backend, i, attrs, false);
  // One chunk without states at its ends has no part that goes through states.
  const enters = s.chunks > 1 || i.initialState !== undefined;
  const states = enters || attrs.returnFinalState ? chunkStates(s, i.B!, i.x!, 'delta out') : undefined;
  const final = states && carry(s, states, i.initialState, { reverse: false, wantsFinal: attrs.returnFinalState });
  const weights = gram(s, i.C!, i.B!);
  const y = mix(
    s,
    { rows: i.C!, gram: weights, values: i.x!, weight: 'delta', states: enters ? states : undefined, reverse: false },
    storePositions(s, { skip: i.D && { D: i.D, x: i.x! } }),
  );
  for (const t of [s.steps, states, weights]) if (t) backend.disposeData(t.dataId);
  return final ? [y, final] : [y];
};

/** Recomputes chunk states and G; everything else is one product or one short kernel for each line of the derivation (see `ssdGradPortable`). */
export const ssdGradWebGpu: FastKernel<SsdGradInput, SsdAttrs> = ({ inputs: i, attrs, backend }) => {
  if (isEmpty(i)) return null;
  const s = begin(backend, i, attrs, true);
  const { x, B, C, dy } = i as { [K in SsdGradInput]: TensorInfo };
  const u32 = scanUniforms(s);
  const rowsOfHeads = s.batch * s.length * s.heads;
  const temporary: TensorInfo[] = [s.steps];
  const kept = <T extends TensorInfo | undefined>(t: T): T => {
    if (t) temporary.push(t);
    return t;
  };
  const enters = s.chunks > 1 || i.initialState !== undefined;
  const leaves = s.chunks > 1 || i.dState !== undefined;

  const entry = enters ? kept(chunkStates(s, B, x, 'delta out')) : undefined;
  if (entry) carry(s, entry, i.initialState, { reverse: false, wantsFinal: false });
  const exit = enters || leaves ? kept(chunkStates(s, C, dy, 'into')) : undefined;
  const dInitial = exit && carry(s, exit, i.dState, { reverse: true, wantsFinal: i.initialState !== undefined });
  const weights = kept(gram(s, C, B));
  const turned = kept(gram(s, B, C));

  // Planes: <dy, y through states>, <u, du through states>, <x, du>.
  let rows: TensorInfo | { shape: number[] } = { shape: [3, s.batch, s.length, s.heads] };
  const dot = (plane: number, a: TensorInfo, b: TensorInfo, weighted: boolean) => {
    [rows] = runWgsl(backend, {
      key: `ssd dots${weighted ? ' weighted' : ''}`,
      inputs: { x: a, y: b, 'steps: u32': s.steps },
      outputs: { rows },
      u32: { ...u32, plane },
      workgroups: Math.ceil(rowsOfHeads / 4),
      declare: () => reduction('sum16', 64, { lanes: 16 }),
      main: () => text.dots(weighted),
    }) as [TensorInfo];
  };
  if (entry) {
    const through = mix(s, { rows: C, gram: weights, values: x, weight: 'delta', states: entry, reverse: false, statesOnly: true }, storePositions(s));
    dot(0, dy, through, false);
    backend.disposeData(through.dataId);
  }
  const back = { rows: B, gram: turned, values: dy, weight: 'none', reverse: true } as const;
  let du: TensorInfo;
  if (leaves) {
    du = mix(s, { ...back, states: exit, statesOnly: true }, storePositions(s));
    dot(1, x, du, true);
    mix(s, { ...back, states: undefined }, storePositions(s, { into: du }));
  } else du = mix(s, { ...back, states: undefined }, storePositions(s));
  kept(du);
  const skip = !i.D ? 'none' : i.D.shape.length === 1 ? 'head' : 'channel';
  const [dx, allRows] = runWgsl(backend, {
    key: `ssd input gradient ${skip}`,
    inputs: { 'steps: u32': s.steps, x, du, dy: i.D && dy, D: i.D },
    outputs: { dx: { shape: x.shape }, rows },
    u32,
    workgroups: Math.ceil(rowsOfHeads / 4),
    declare: () => reduction('sum16', 64, { lanes: 16 }),
    main: () => text.inputGradient(skip),
  }) as [TensorInfo, TensorInfo];
  kept(allRows);

  const pairs = kept(pairGradients(s, dy, x));
  const [shared] = runWgsl(backend, {
    key: 'ssd sum of heads',
    inputs: { pairs },
    outputs: { shared_: { shape: [s.batch * s.chunks, s.groups, s.size, s.size] } },
    u32,
    threads: s.batch * s.chunks * s.groups * s.size * s.size,
    main: () => text.SUM_HEADS,
  }) as [TensorInfo];
  kept(shared);
  const dC = groupGradient(s, { pairs: shared, isTransposed: false, rows: B, values: dy, weight: 'into', states: entry });
  const dB = groupGradient(s, { pairs: shared, isTransposed: true, rows: C, values: x, weight: 'delta out', states: leaves ? exit : undefined });

  const steps = stepGradients(s, i, { pairs, weights, rows: allRows, entry, exit: leaves ? exit : undefined });
  const grads: { [K in SsdInput]?: TensorInfo | undefined } = { x: dx, B: dB, C: dC, ...steps, initialState: dInitial };
  if (i.D) grads.D = skipGradient(s, x, dy, i.D);
  for (const t of temporary) backend.disposeData(t.dataId);
  return ssdGradOutputs((n) => i[n] !== undefined).map((n) => grads[n]!);
};

interface StepParts {
  pairs: TensorInfo;
  weights: TensorInfo;
  rows: TensorInfo;
  entry: TensorInfo | undefined;
  exit: TensorInfo | undefined;
}

/** Gradients of dt, A and the bias. */
function stepGradients(s: Scan, i: Inputs, { pairs, weights, rows, entry, exit }: StepParts): { dt: TensorInfo; A: TensorInfo; dtBias?: TensorInfo } {
  const { backend, batch, length, heads, chunks } = s;
  const u32 = scanUniforms(s);
  const [, across] = runWgsl(backend, {
    key: 'ssd pairs across',
    inputs: { gram: weights },
    outputs: { pairs, across: { shape: [batch, length, heads] } },
    u32,
    workgroups: batch * chunks * heads,
    main: () => text.PAIRS_ACROSS,
  }) as [TensorInfo, TensorInfo];
  const through =
    entry &&
    exit &&
    runWgsl(backend, {
      key: 'ssd states across',
      inputs: { 'steps: u32': s.steps, entry, exit },
      outputs: { through: { shape: [batch * chunks, heads] } },
      u32,
      workgroups: batch * chunks * heads,
      declare: () => text.STEPS + reduction('sum64', 64),
      main: () => text.STATES_ACROSS,
    })[0];
  const [, dt, parts] = runWgsl(backend, {
    key: `ssd step gradient${entry ? ' enters' : ''}${exit ? ' leaves' : ''}`,
    inputs: { 'steps: u32': s.steps, rows, A: i.A, through },
    outputs: { across, dDt: { shape: [batch, length, heads] }, parts: { shape: [batch * chunks, 2, heads] } },
    u32,
    threads: batch * chunks * heads,
    main: (has) => text.stepGradient(entry !== undefined, exit !== undefined, has),
  }) as [TensorInfo, TensorInfo, TensorInfo];
  const A = columnSums(backend, parts, { shape: i.A!.shape, rows: batch * chunks, stride: 2 * heads });
  const dtBias = i.dtBias && columnSums(backend, parts, { shape: i.dtBias.shape, rows: batch * chunks, stride: 2 * heads, offset: heads });
  for (const t of [across, through, parts]) if (t) backend.disposeData(t.dataId);
  return { dt, A, ...(dtBias && { dtBias }) };
}

/** Positions of one partial sum of D's gradient. */
const SKIP_STEPS = 64;

function skipGradient({ backend, batch, length, heads, headDim }: Scan, x: TensorInfo, dy: TensorInfo, D: TensorInfo): TensorInfo {
  const width = heads * headDim;
  const blocks = Math.ceil((batch * length) / SKIP_STEPS);
  const [parts] = runWgsl(backend, {
    key: 'ssd skip gradient',
    inputs: { x, dy },
    outputs: { parts: { shape: [blocks, width] } },
    u32: { positions: batch * length, width, steps: SKIP_STEPS },
    threads: blocks * width,
    main: () => text.SKIP_PARTS,
  }) as [TensorInfo];
  const sum = columnSums(backend, parts, { shape: D.shape, rows: blocks, stride: width, inner: D.shape.length === 1 ? headDim : 1 });
  backend.disposeData(parts.dataId);
  return sum;
}

function columnSums(backend: KernelBackend, parts: TensorInfo, { shape, rows, stride, offset = 0, inner = 1 }: { shape: number[]; rows: number; stride: number; offset?: number; inner?: number }): TensorInfo {
  return runWgsl(backend, {
    key: 'ssd column sums',
    inputs: { parts },
    outputs: { total: { shape } },
    u32: { rows, stride, offset, inner },
    threads: shape.reduce((a, b) => a * b, 1),
    main: () => text.COLUMN_SUMS,
  })[0]!;
}
