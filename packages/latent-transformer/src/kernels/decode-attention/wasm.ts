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
  const ints = heap.scratch(4 * (2 * R + (H / kvHeads) * Math.max(1, ...attrs.counts)));
  const view = heap.i32(ints, 2 * R);
  view.set(attrs.counts);
  if (attrs.rows) view.set(attrs.rows, R);
  lib.decodeAttention(
    ...[y, q, k, v].map((t) => heap.offset(t)), attrs.rows ? ints + 4 * R : 0, ints,
    R, capacity, H, kvHeads, D, valueDim, attrs.scale, ints + 8 * R,
  );
  return [y];
});
