import base64 from '../../generated/mat-mul.wasm.js';
import { wasmKernel } from '../../op/wasm-kernel.js';
import { sizeOf } from '../host.js';
import { matMulSizes, type MatMulAttrs } from './sizes.js';

/** Functions of as/mat-mul.ts. */
interface Lib {
  scratchBytes(): number;
  matMul(batch: number, m: number, n: number, k: number, a: number, ars: number, acs: number, b: number, brs: number, bcs: number, c: number, scratch: number): void;
  linear(rows: number, n: number, k: number, x: number, w: number, bias: number, y: number, scratch: number): void;
  sumRows(rows: number, n: number, x: number, y: number): void;
}

export const wasmMatMul = wasmKernel<'a' | 'b', MatMulAttrs, Lib>(base64, ({ inputs: { a, b }, attrs, heap, lib }) => {
  const { batch, m, k, n, shape } = matMulSizes(a!.shape, b!.shape, attrs);
  const c = heap.output(shape);
  const [ars, acs] = attrs.transposeA ? [1, m] : [k, 1];
  const [brs, bcs] = attrs.transposeB ? [1, k] : [n, 1];
  const scratch = heap.scratch(lib.scratchBytes());
  lib.matMul(batch, m, n, k, heap.offset(a), ars, acs, heap.offset(b), brs, bcs, heap.offset(c), scratch);
  return [c];
});

export const wasmLinear = wasmKernel<'x' | 'weight' | 'bias', object, Lib>(base64, ({ inputs: { x, weight, bias }, heap, lib }) => {
  const [n, k] = weight!.shape;
  const lead = x!.shape.slice(0, -1);
  const y = heap.output([...lead, n]);
  const scratch = heap.scratch(lib.scratchBytes());
  lib.linear(sizeOf(lead), n, k, heap.offset(x), heap.offset(weight), heap.offset(bias), heap.offset(y), scratch);
  return [y];
});

export const wasmSumRows = wasmKernel<'x', object, Lib>(base64, ({ inputs: { x }, heap, lib }) => {
  const [rows, n] = x!.shape;
  const y = heap.output([n]);
  lib.sumRows(rows, n, heap.offset(x), heap.offset(y));
  return [y];
});
