import type { FastKernel } from '@bytelm/core';
import { runWgsl } from '@bytelm/core/webgpu';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { emaGradOutputs, type EmaAttrs, type EmaGradInput, type EmaInput } from './portable.js';
import * as text from './wgsl.js';

/** Positions of a block: what a thread walks one after another. */
const STEPS = 64;
/** Threads that keep a device busy; with as many rows and channels nothing is gained by blocks. */
const THREADS = 1 << 14;

type Inputs = { [K in EmaInput]?: TensorInfo };

/** Sizes and how the work is cut: a thread has one pack of channels of one block. */
function layout(x: TensorInfo) {
  const [batch, length, channels] = x.shape as [number, number, number];
  const pack = channels % 4 === 0 ? 4 : 1;
  const packs = channels / pack;
  const isSplit = length > STEPS && batch * packs < THREADS;
  const steps = isSplit ? STEPS : Math.max(1, length);
  return { batch, length, channels, pack, packs, steps, blocks: Math.max(1, Math.ceil(length / steps)), type: pack === 4 ? 'vec4f' : 'f32' };
}
type Layout = ReturnType<typeof layout>;

const uniforms = ({ batch, length, packs, steps, blocks }: Layout, { min, max }: EmaAttrs) => ({ u32: { batch, length, packs, steps, blocks }, f32: { low: min, high: max } });

/**
 * The state that enters each block, (B, blocks + 1, D), its last row the initial state: blocks from zero, then a recurrence over them, from
 * the end for the gradient. `undefined` where all states are zero.
 * @param terms x, or the gradient of z.
 */
function entering(backend: KernelBackend, l: Layout, { p, documentIds, initialState }: Inputs, terms: TensorInfo, attrs: EmaAttrs, reverse: boolean) {
  if (l.blocks === 1 && !initialState) return undefined;
  const direction = reverse ? 'reverse' : 'forward';
  const [ends, decays] = runWgsl(backend, {
    key: `ema ends ${direction} x${l.pack}`,
    inputs: { [`terms: ${l.type}`]: terms, p, ids: documentIds },
    outputs: { [`ends: ${l.type}`]: { shape: [l.batch, l.blocks + 1, l.channels] }, decays: { shape: [l.batch, l.blocks] } },
    ...uniforms(l, attrs),
    threads: l.batch * l.blocks * l.packs,
    declare: () => text.common(l.type, documentIds !== undefined),
    main: () => text.ends(reverse),
  }) as [TensorInfo, TensorInfo];
  runWgsl(backend, {
    key: `ema carry ${direction} x${l.pack}`,
    inputs: { decays, [`initial: ${l.type}`]: initialState },
    outputs: { [`ends: ${l.type}`]: ends },
    ...uniforms(l, attrs),
    threads: l.batch * l.packs,
    main: (has) => text.carry(reverse, l.type, has('initial')),
  });
  backend.disposeData(decays.dataId);
  return ends;
}

/** Repeats of the values: value j at positions `starts[j]` to `starts[j + 1]` − 1 of (B, length); `starts` (B, M + 1). */
export interface Repeats {
  starts: TensorInfo;
  length: number;
}

/** [z], and with `repeats` [z, y]: each value at its positions, zeros in front of the first. */
export function emaForward(backend: KernelBackend, inputs: Inputs, attrs: EmaAttrs, repeats?: Repeats): TensorInfo[] {
  const x = inputs.x!;
  const l = layout(x);
  const states = entering(backend, l, inputs, x, attrs, false);
  const { u32, f32 } = uniforms(l, attrs);
  const out = runWgsl(backend, {
    key: `ema forward x${l.pack}`,
    inputs: { [`terms: ${l.type}`]: x, p: inputs.p, ids: inputs.documentIds, [`states: ${l.type}`]: states, starts: repeats?.starts },
    outputs: { [`z: ${l.type}`]: { shape: x.shape }, [`y: ${l.type}`]: repeats && { shape: [l.batch, repeats.length, l.channels] } },
    u32: { ...u32, outer: repeats?.length ?? 0 },
    f32,
    threads: l.batch * l.blocks * l.packs,
    declare: () => text.common(l.type, inputs.documentIds !== undefined),
    main: text.forward,
  });
  if (states) backend.disposeData(states.dataId);
  return out;
}

/** The gradients of x, p and, where there is one, the initial state. */
export function emaBackward(backend: KernelBackend, inputs: Inputs, z: TensorInfo, dz: TensorInfo, attrs: EmaAttrs): TensorInfo[] {
  const { x, p, documentIds, initialState } = inputs;
  const l = layout(x!);
  const lanes = Math.ceil(l.packs / text.LANES);
  const states = entering(backend, l, inputs, dz, attrs, true);
  const shared = uniforms(l, attrs);
  const sums = l.batch * lanes * l.length;
  const [dx, parts] = runWgsl(backend, {
    key: `ema gradient x${l.pack}${initialState ? ' initial' : ''}`,
    inputs: { [`x: ${l.type}`]: x, p, [`z: ${l.type}`]: z, [`terms: ${l.type}`]: dz, ids: documentIds, [`states: ${l.type}`]: states },
    outputs: { [`dx: ${l.type}`]: { shape: x!.shape }, parts: { shape: [sums + (initialState ? l.batch * l.channels : 0)] } },
    ...shared,
    u32: { ...shared.u32, lanes },
    workgroups: l.batch * l.blocks * lanes,
    declare: () => text.common(l.type, documentIds !== undefined) + text.TILE,
    main: (has) => text.gradient(l.pack, has('states'), initialState !== undefined),
  }) as [TensorInfo, TensorInfo];
  const rest = runWgsl(backend, {
    key: 'ema gradient sums',
    inputs: { p, parts },
    outputs: { dp: { shape: p!.shape }, dInitial: initialState && { shape: initialState.shape } },
    ...shared,
    u32: { ...shared.u32, lanes },
    threads: l.batch * l.length + (initialState ? l.batch * l.channels : 0),
    main: text.gradientSums,
  });
  for (const t of [states, parts]) if (t) backend.disposeData(t.dataId);
  return [dx, ...rest];
}

const isEmpty = ({ x }: Inputs) => x!.shape.includes(0);

export const emaWebGpu: FastKernel<EmaInput, EmaAttrs> = ({ inputs, attrs, backend }) => (isEmpty(inputs) ? null : emaForward(backend, inputs, attrs));

export const emaGradWebGpu: FastKernel<EmaGradInput, EmaAttrs> = ({ inputs, attrs, backend }) => {
  if (isEmpty(inputs)) return null;
  const grads = emaBackward(backend, inputs, inputs.z!, inputs.dz!, attrs);
  return emaGradOutputs((n) => inputs[n] !== undefined).map((_, k) => grads[k]!);
};
