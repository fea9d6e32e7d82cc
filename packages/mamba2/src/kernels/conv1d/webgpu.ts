import type { FastKernel } from '@bytelm/core';
import { runWgsl } from '@bytelm/core/webgpu';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { convGradOutputs, type ConvAttrs, type ConvGradInput, type ConvInput } from './attrs.js';
import * as text from './wgsl.js';

/** Taps beyond which a thread's window would not stay in registers. */
const MOST_TAPS = 8;
/** Threads that keep a device busy: fewer steps a thread below, more above, up to `most`. */
const THREADS = 1 << 14;

type Inputs = { [K in ConvInput]?: TensorInfo };

/** Sizes, and how the work is cut: a thread has `pack` channels of `steps` positions. `null` where the kernels do not apply. */
function layout(i: Inputs, most: number) {
  const [batch, length, channels] = i.x!.shape as [number, number, number];
  const width = i.weight!.shape[1]!;
  if (width < 2 || width > MOST_TAPS || batch * length * channels === 0) return null;
  const pack = channels % 4 === 0 ? 4 : 1;
  const packs = channels / pack;
  const steps = Math.min(most, Math.max(8, Math.ceil((batch * length * packs) / THREADS)));
  const blocks = Math.ceil(length / steps);
  return { batch, length, width, pack, packs, steps, blocks, type: pack === 4 ? 'vec4f' : 'f32' };
}
type Layout = NonNullable<ReturnType<typeof layout>>;

const named = ({ x, bias, initialState }: Inputs, { type }: Layout) => ({
  [`x: ${type}`]: x,
  [`bias: ${type}`]: bias,
  [`history: ${type}`]: initialState,
});
const sizes = ({ batch, length, packs, steps, blocks }: Layout) => ({ batch, length, packs, steps, blocks });
const keyOf = (what: string, { width, pack }: Layout, attrs: ConvAttrs) => `conv1d ${what} K${width} x${pack}${attrs.silu ? ' silu' : ''}`;

export const convWebGpu: FastKernel<ConvInput, ConvAttrs> = ({ inputs: i, attrs, backend }) => {
  const l = layout(i, 64);
  if (!l) return null;
  const { batch, length, width, pack, packs, blocks, type } = l;
  const state = attrs.returnState ? batch * (width - 1) * packs : 0;
  return runWgsl(backend, {
    key: keyOf('forward', l, attrs),
    inputs: { ...named(i, l), weight: i.weight, ids: i.documentIds, lengths: attrs.returnState ? i.lengths : undefined },
    outputs: {
      [`y: ${type}`]: { shape: [batch, length, packs * pack] },
      [`last: ${type}`]: attrs.returnState ? { shape: [batch, width - 1, packs * pack] } : undefined,
    },
    u32: sizes(l),
    threads: batch * blocks * packs + state,
    declare: () => text.common(width, type, i.initialState !== undefined, i.documentIds !== undefined),
    main: (has) => text.forward(width, attrs.silu, type, has),
  });
};

export const convGradWebGpu: FastKernel<ConvGradInput, ConvAttrs> = ({ inputs: i, attrs, backend }) => {
  const l = layout(i, 128);
  if (!l) return null;
  const { batch, width, pack, packs, blocks, type } = l;
  const channels = packs * pack;
  const planes = width + (i.bias ? 1 : 0);
  const declare = () => text.common(width, type, i.initialState !== undefined, i.documentIds !== undefined);
  const inputs = { ...named(i, l), weight: i.weight, ids: i.documentIds, [`dy: ${type}`]: i.dy };
  const [dx, parts] = runWgsl(backend, {
    key: keyOf('gradient', l, attrs),
    inputs,
    outputs: { [`dx: ${type}`]: { shape: i.x!.shape }, [`parts: ${type}`]: { shape: [batch * blocks, planes, channels] } },
    u32: sizes(l),
    threads: batch * blocks * packs,
    declare,
    main: (has) => text.gradient(width, attrs.silu, type, has),
  }) as [TensorInfo, TensorInfo];
  const grads: { [K in ConvInput]?: TensorInfo } = { x: dx };
  if (i.initialState) {
    [grads.initialState] = runWgsl(backend, {
      key: keyOf('history gradient', l, attrs),
      inputs,
      outputs: { [`dHistory: ${type}`]: { shape: i.initialState.shape } },
      u32: sizes(l),
      threads: batch * (width - 1) * packs,
      declare: () => declare() + text.preGradient(width, attrs.silu, type, i.bias !== undefined, i.documentIds !== undefined),
      main: (has) => text.historyGradient(width, type, has('ids')),
    });
  }
  if (i.dState) {
    runWgsl(backend, {
      key: keyOf('state gradient', l, attrs),
      inputs: { [`dState: ${type}`]: i.dState, lengths: i.lengths },
      outputs: { [`dx: ${type}`]: dx, [`dHistory: ${type}`]: grads.initialState },
      u32: sizes(l),
      threads: batch * (width - 1) * packs,
      main: (has) => text.stateGradient(width, has),
    });
  }
  [grads.weight, grads.bias] = sumParts(backend, parts, i.weight!, i.bias);
  return convGradOutputs((n) => i[n] !== undefined).map((n) => grads[n]!);
};

/** (slots, K [+ 1], C) summed over the slots: the gradients of weight (C, K) and bias (C). Disposes `parts`. */
function sumParts(backend: KernelBackend, parts: TensorInfo, weight: TensorInfo, bias: TensorInfo | undefined): TensorInfo[] {
  const [slots, planes, channels] = parts.shape as [number, number, number];
  const out = runWgsl(backend, {
    key: 'conv1d sum of parts',
    inputs: { parts },
    outputs: { dWeight: { shape: weight.shape }, dBias: bias && { shape: bias.shape } },
    u32: { slots, width: weight.shape[1]!, channels },
    threads: planes * channels,
    main: text.sumOfParts,
  });
  backend.disposeData(parts.dataId);
  return out;
}
