import binary from '../../generated/split.wasm.js';
import { wasmKernel } from '../../op/wasm-kernel.js';
import { sizeOf } from '../host.js';
import type { PartName, SplitAttrs } from './op.js';

interface SplitLib {
  takeColumns(rows: number, width: number, offset: number, size: number, x: number, part: number): void;
  putColumns(rows: number, width: number, offset: number, size: number, part: number, x: number): void;
}

const starts = (sizes: readonly number[]) => sizes.map((_, i) => sizes.slice(0, i).reduce((a, b) => a + b, 0));

export const splitWasm = wasmKernel<'x', SplitAttrs, SplitLib>(binary, ({ inputs: { x }, attrs: { sizes }, heap, lib }) => {
  const lead = x!.shape.slice(0, -1);
  const width = x!.shape[x!.shape.length - 1]!;
  const parts = sizes.map((size) => heap.output([...lead, size], x!.dtype));
  parts.forEach((part, i) => lib.takeColumns(sizeOf(lead), width, starts(sizes)[i]!, sizes[i]!, heap.offset(x), heap.offset(part)));
  return parts;
});

export const joinWasm = wasmKernel<PartName, SplitAttrs, SplitLib>(binary, ({ inputs, attrs: { sizes }, heap, lib }) => {
  const first = inputs.part0!;
  const lead = first.shape.slice(0, -1);
  const width = sizes.reduce((a, b) => a + b, 0);
  const x = heap.output([...lead, width], first.dtype);
  sizes.forEach((size, i) => lib.putColumns(sizeOf(lead), width, starts(sizes)[i]!, size, heap.offset(inputs[`part${i}`]), heap.offset(x)));
  return [x];
});
