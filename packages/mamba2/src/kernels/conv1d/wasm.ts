import { wasmKernel } from '@bytelm/core';
import binary from '../../generated/conv1d.wasm.js';
import type { ConvAttrs, ConvGradInput, ConvInput } from './attrs.js';

interface ConvLib {
  convScratch(channels: number, width: number): number;
  conv1d(
    x: number, weight: number, bias: number, history: number, ids: number, lengths: number, y: number, last: number,
    batch: number, length: number, channels: number, width: number, silu: number, scratch: number,
  ): void;
  conv1dGrad(
    x: number, weight: number, bias: number, history: number, ids: number, lengths: number, dy: number, dLast: number,
    dx: number, dWeight: number, dBias: number, dHistory: number,
    batch: number, length: number, channels: number, width: number, silu: number, scratch: number,
  ): void;
}

export const convWasm = wasmKernel<ConvInput, ConvAttrs, ConvLib>(binary, ({ inputs: i, attrs, heap, lib }) => {
  const [batch, length, channels] = i.x!.shape as [number, number, number];
  const width = i.weight!.shape[1]!;
  const y = heap.output(i.x!.shape);
  const last = attrs.returnState ? heap.output([batch, width - 1, channels]) : undefined;
  const scratch = heap.scratch(4 * lib.convScratch(channels, width));
  const at = heap.offset;
  lib.conv1d(
    at(i.x), at(i.weight), at(i.bias), at(i.initialState), at(i.documentIds), at(i.lengths), at(y), at(last),
    batch, length, channels, width, +attrs.silu, scratch,
  );
  return last ? [y, last] : [y];
});

export const convGradWasm = wasmKernel<ConvGradInput, ConvAttrs, ConvLib>(binary, ({ inputs: i, attrs, heap, lib }) => {
  const [batch, length, channels] = i.x!.shape as [number, number, number];
  const width = i.weight!.shape[1]!;
  const dx = heap.output(i.x!.shape);
  const dWeight = heap.output(i.weight!.shape);
  const dBias = i.bias && heap.output(i.bias.shape);
  const dHistory = i.initialState && heap.output(i.initialState.shape);
  const scratch = heap.scratch(4 * lib.convScratch(channels, width));
  const at = heap.offset;
  lib.conv1dGrad(
    at(i.x), at(i.weight), at(i.bias), at(i.initialState), at(i.documentIds), at(i.lengths), at(i.dy), at(i.dState),
    at(dx), at(dWeight), at(dBias), at(dHistory), batch, length, channels, width, +attrs.silu, scratch,
  );
  return [dx, dWeight, dBias, dHistory].filter((t) => t !== undefined);
});
