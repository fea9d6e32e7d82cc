import { wasmKernel, type WasmHeap } from '@bytelm/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import binary from '../../generated/ssd.wasm.js';
import { ssdGradOutputs, ssdSizes, type SsdAttrs, type SsdGradInput, type SsdInput } from './attrs.js';

type Pointer = number;
type Sizes = [batch: number, length: number, heads: number, headDim: number, groups: number, state: number, chunk: number];
type Steps = [softplus: number, low: number, high: number, perChannel: number];
type Inputs = [x: Pointer, dt: Pointer, A: Pointer, B: Pointer, C: Pointer, D: Pointer, dtBias: Pointer, initial: Pointer, ids: Pointer, lengths: Pointer];

interface SsdLib {
  ssdScratch(length: number, headDim: number, state: number, chunk: number): number;
  ssd(...args: [...Inputs, y: Pointer, final: Pointer, ...Sizes, ...Steps, scratch: Pointer]): void;
  ssdGradScratch(length: number, headDim: number, state: number, chunk: number): number;
  ssdGrad(
    ...args: [
      ...Inputs, dy: Pointer, dFinal: Pointer,
      dx: Pointer, dDt: Pointer, dA: Pointer, dB: Pointer, dC: Pointer, dD: Pointer, dBias: Pointer, dInitial: Pointer,
      ...Sizes, ...Steps, scratch: Pointer,
    ]
  ): void;
}

/** Addresses and sizes both directions begin with. */
function prepare(i: { [K in SsdInput]?: TensorInfo }, attrs: SsdAttrs, heap: WasmHeap) {
  const { batch, length, heads, headDim, groups, state } = ssdSizes(i.x!, i.B!);
  // Equal chunks, as in the portable form.
  const chunk = Math.ceil(length / Math.ceil(length / attrs.chunkSize));
  const at = heap.offset;
  const limited = attrs.dtMin > 0 || attrs.dtMax < Infinity;
  return {
    inputs: [at(i.x), at(i.dt), at(i.A), at(i.B), at(i.C), at(i.D), at(i.dtBias), at(i.initialState), at(i.documentIds), at(i.lengths)] as Inputs,
    sizes: [batch, length, heads, headDim, groups, state, chunk] as Sizes,
    steps: [+attrs.dtSoftplus, limited ? attrs.dtMin : -3e38, limited ? attrs.dtMax : 3e38, +(i.D?.shape.length === 2)] as Steps,
    scratchSizes: [length, headDim, state, chunk] as const,
    stateShape: [batch, heads, headDim, state],
  };
}

export const ssdWasm = wasmKernel<SsdInput, SsdAttrs, SsdLib>(binary, ({ inputs: i, attrs, heap, lib }) => {
  const y = heap.output(i.x!.shape);
  const { inputs, sizes, steps, scratchSizes, stateShape } = prepare(i, attrs, heap);
  const final = attrs.returnFinalState ? heap.output(stateShape) : undefined;
  const scratch = heap.scratch(4 * lib.ssdScratch(...scratchSizes));
  lib.ssd(...inputs, heap.offset(y), heap.offset(final), ...sizes, ...steps, scratch);
  return final ? [y, final] : [y];
});

export const ssdGradWasm = wasmKernel<SsdGradInput, SsdAttrs, SsdLib>(binary, ({ inputs: i, attrs, heap, lib }) => {
  const names = ssdGradOutputs((n) => i[n] !== undefined);
  const grads = Object.fromEntries(names.map((n) => [n, heap.output(i[n]!.shape)])) as { [K in SsdInput]?: TensorInfo };
  const { inputs, sizes, steps, scratchSizes } = prepare(i, attrs, heap);
  const scratch = heap.scratch(4 * lib.ssdGradScratch(...scratchSizes));
  const at = heap.offset;
  lib.ssdGrad(
    ...inputs, at(i.dy), at(i.dState),
    at(grads.x), at(grads.dt), at(grads.A), at(grads.B), at(grads.C), at(grads.D), at(grads.dtBias), at(grads.initialState),
    ...sizes, ...steps, scratch,
  );
  return names.map((n) => grads[n]!);
});
