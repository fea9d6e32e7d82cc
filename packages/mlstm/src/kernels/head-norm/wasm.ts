import { wasmKernel } from '@bytelm/core';
import binary from '../../generated/head-norm.wasm.js';
import type { HeadNormAttrs, HeadNormGradInput, HeadNormInput } from './attrs.js';

type Pointer = number;

interface HeadNormLib {
  headNorm(rows: number, heads: number, size: number, eps: number, h: Pointer, gate: Pointer, weight: Pointer, y: Pointer): void;
  headNormGrad(
    rows: number, heads: number, size: number, eps: number, h: Pointer, gate: Pointer, weight: Pointer, dy: Pointer,
    dh: Pointer, dGate: Pointer, dWeight: Pointer,
  ): void;
}

export const headNormWasm = wasmKernel<HeadNormInput, HeadNormAttrs, HeadNormLib>(binary, ({ inputs: i, attrs, heap, lib }) => {
  const [rows, heads, size] = i.h!.shape as [number, number, number];
  const y = heap.output(i.gate!.shape);
  const at = heap.offset;
  lib.headNorm(rows, heads, size, attrs.eps, at(i.h), at(i.gate), at(i.weight), at(y));
  return [y];
});

export const headNormGradWasm = wasmKernel<HeadNormGradInput, HeadNormAttrs, HeadNormLib>(binary, ({ inputs: i, attrs, heap, lib }) => {
  const [rows, heads, size] = i.h!.shape as [number, number, number];
  const [dh, dGate, dWeight] = [heap.output(i.h!.shape), heap.output(i.gate!.shape), heap.output(i.weight!.shape)];
  const at = heap.offset;
  lib.headNormGrad(rows, heads, size, attrs.eps, at(i.h), at(i.gate), at(i.weight), at(i.dy), at(dh), at(dGate), at(dWeight));
  return [dh, dGate, dWeight];
});
