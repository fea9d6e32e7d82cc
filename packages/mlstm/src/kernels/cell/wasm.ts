import { wasmKernel, type WasmHeap } from '@bytelm/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import binary from '../../generated/cell.wasm.js';
import { cellGradOutputs, cellSizes, equalChunk, type CellAttrs, type CellGradInput, type CellInput } from './attrs.js';

type Pointer = number;
type Sizes = [batch: number, length: number, heads: number, keyDim: number, valueDim: number, chunk: number];
type Inputs = [
  q: Pointer, k: Pointer, v: Pointer, input: Pointer, forget: Pointer, C: Pointer, n: Pointer, m: Pointer, ids: Pointer, lengths: Pointer,
];

interface CellLib {
  cellScratch(length: number, keyDim: number, valueDim: number, chunk: number): number;
  cell(...args: [...Inputs, h: Pointer, C: Pointer, n: Pointer, m: Pointer, ...Sizes, eps: number, scratch: Pointer]): void;
  cellGradScratch(length: number, keyDim: number, valueDim: number, chunk: number): number;
  cellGrad(
    ...args: [
      ...Inputs, h: Pointer, dh: Pointer, dFinalC: Pointer, dFinalN: Pointer, dFinalM: Pointer,
      dq: Pointer, dk: Pointer, dv: Pointer, dInput: Pointer, dForget: Pointer, dC: Pointer, dn: Pointer, dm: Pointer,
      ...Sizes, eps: number, published: number, scratch: Pointer,
    ]
  ): void;
}

/** Addresses and sizes both directions begin with. */
function prepare(i: { [K in CellInput]?: TensorInfo }, chunkSize: number, heap: WasmHeap) {
  const { batch, length, heads, keyDim, valueDim } = cellSizes(i.q!, i.v!);
  const chunk = equalChunk(length, chunkSize);
  const at = heap.offset;
  return {
    inputs: [at(i.q), at(i.k), at(i.v), at(i.inputGate), at(i.forgetGate), at(i.C), at(i.n), at(i.m), at(i.documentIds), at(i.lengths)] as Inputs,
    sizes: [batch, length, heads, keyDim, valueDim, chunk] as Sizes,
    scratchSizes: [length, keyDim, valueDim, chunk] as const,
    stateShapes: [[batch, heads, keyDim, valueDim], [batch, heads, keyDim], [batch, heads]],
  };
}

export const cellWasm = wasmKernel<CellInput, CellAttrs, CellLib>(binary, ({ inputs: i, attrs, heap, lib }) => {
  const h = heap.output(i.v!.shape);
  const { inputs, sizes, scratchSizes, stateShapes } = prepare(i, attrs.recurrent ? 1 : attrs.chunkSize, heap);
  const [C, n, m] = attrs.returnFinalState ? stateShapes.map((s) => heap.output(s)) : [];
  const scratch = heap.scratch(4 * lib.cellScratch(...scratchSizes));
  const at = heap.offset;
  lib.cell(...inputs, at(h), at(C), at(n), at(m), ...sizes, attrs.eps, scratch);
  return C && n && m ? [h, C, n, m] : [h];
});

export const cellGradWasm = wasmKernel<CellGradInput, CellAttrs, CellLib>(binary, ({ inputs: i, attrs, heap, lib }) => {
  const names = cellGradOutputs((n) => i[n] !== undefined);
  const grads = Object.fromEntries(names.map((n) => [n, heap.output(i[n]!.shape)])) as { [K in CellInput]?: TensorInfo };
  const { inputs, sizes, scratchSizes } = prepare(i, attrs.chunkSize, heap);
  const scratch = heap.scratch(4 * lib.cellGradScratch(...scratchSizes));
  const at = heap.offset;
  lib.cellGrad(
    ...inputs, at(i.h), at(i.dh), at(i.dC), at(i.dn), at(i.dm),
    at(grads.q), at(grads.k), at(grads.v), at(grads.inputGate), at(grads.forgetGate), at(grads.C), at(grads.n), at(grads.m),
    ...sizes, attrs.eps, +attrs.publishedGradient, scratch,
  );
  return names.map((n) => grads[n]!);
});
