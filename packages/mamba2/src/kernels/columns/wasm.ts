import { wasmKernel } from '@bytelm/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import binary from '../../generated/columns.wasm.js';
import type { ColumnAttrs, Part } from './op.js';

interface ColumnLib {
  copyColumns(rows: number, n: number, from: number, fromStride: number, to: number, toStride: number): void;
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

export const splitWasm = wasmKernel<'x', ColumnAttrs, ColumnLib>(binary, ({ inputs: { x }, attrs: { sizes }, heap, lib }) => {
  const lead = x!.shape.slice(0, -1);
  const [rows, width] = [product(lead), x!.shape.at(-1)!];
  let from = heap.offset(x);
  return sizes.map((n) => {
    const out = heap.output([...lead, n]);
    lib.copyColumns(rows, n, from, width, heap.offset(out), n);
    from += 4 * n;
    return out;
  });
});

export const joinWasm = wasmKernel<Part, ColumnAttrs, ColumnLib>(binary, ({ inputs, attrs: { sizes }, heap, lib }) => {
  const parts = Object.values(inputs) as TensorInfo[];
  const lead = parts[0]!.shape.slice(0, -1);
  const [rows, width] = [product(lead), sizes.reduce((a, b) => a + b, 0)];
  const out = heap.output([...lead, width]);
  let to = heap.offset(out);
  parts.forEach((part, i) => {
    lib.copyColumns(rows, sizes[i]!, heap.offset(part), sizes[i]!, to, width);
    to += 4 * sizes[i]!;
  });
  return [out];
});
