import { wasmKernel } from '@bytelm/core';
import module from '../../generated/rotary.wasm.js';
import type { RotaryAttrs, RotaryInput } from './op.js';

interface RotaryModule {
  rotary(...args: (number | boolean)[]): void;
}

export const rotaryWasm = wasmKernel<RotaryInput, RotaryAttrs, RotaryModule>(module, ({ heap, lib, inputs, attrs }) => {
  const { x, cos, sin, positions } = inputs;
  const [B, T, H, D] = x!.shape as [number, number, number, number];
  const y = heap.output(x!.shape);
  const pointers = [y, x, cos, sin, positions].map((t) => heap.offset(t));
  lib.rotary(...pointers, B, T, H, D, cos!.shape[1]!, attrs.interleaved, attrs.inverse ? -1 : 1, attrs.offset);
  return [y];
});
