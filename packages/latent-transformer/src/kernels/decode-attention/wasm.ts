import { wasmKernel } from '@bytelm/core';
import module from '../../generated/decode-attention.wasm.js';
import type { DecodeAttrs, DecodeInput } from './op.js';

interface DecodeModule {
  decodeAttention(...args: number[]): void;
}

export const decodeAttentionWasm = wasmKernel<DecodeInput, DecodeAttrs, DecodeModule>(module, ({ heap, lib, inputs, attrs }) => {
  const { q, k, v } = inputs;
  const [R, H, D] = q!.shape as [number, number, number];
  const [, capacity, kvHeads, valueDim] = v!.shape as [number, number, number, number];
  const y = heap.output([R, H, valueDim]);
  const ints = heap.scratch(4 * (3 * R + H * Math.max(1, ...attrs.counts)));
  const view = heap.i32(ints, 3 * R);
  view.set(attrs.counts);
  view.set(attrs.starts ?? new Int32Array(R), R);
  if (attrs.rows) view.set(attrs.rows, 2 * R);
  lib.decodeAttention(
    ...[y, q, k, v].map((t) => heap.offset(t)), attrs.rows ? ints + 8 * R : 0, ints + 4 * R, ints,
    R, capacity, H, kvHeads, D, valueDim, attrs.scale, ints + 12 * R,
  );
  return [y];
});
