import base64 from '../../generated/swiglu.wasm.js';
import { wasmKernel } from '../../op/wasm-kernel.js';
import { sizeOf } from '../host.js';

/** Functions of as/swiglu.ts; strides in elements. */
interface Lib {
  silu(n: number, x: number, y: number): void;
  siluGrad(n: number, x: number, dy: number, dx: number): void;
  swiglu(rows: number, width: number, stride: number, gate: number, up: number, y: number): void;
  swigluGrad(rows: number, width: number, stride: number, gate: number, up: number, dy: number, dgate: number, dup: number): void;
}

export const wasmSilu = wasmKernel<'x', object, Lib>(base64, ({ inputs: { x }, heap, lib }) => {
  const y = heap.output(x!.shape);
  lib.silu(sizeOf(x!.shape), heap.offset(x), heap.offset(y));
  return [y];
});

export const wasmSiluGrad = wasmKernel<'x' | 'dy', object, Lib>(base64, ({ inputs: { x, dy }, heap, lib }) => {
  const dx = heap.output(x!.shape);
  lib.siluGrad(sizeOf(x!.shape), heap.offset(x), heap.offset(dy), heap.offset(dx));
  return [dx];
});

export const wasmSwiglu = wasmKernel<'gate' | 'up', object, Lib>(base64, ({ inputs: { gate, up }, heap, lib }) => {
  const y = heap.output(gate!.shape);
  lib.swiglu(1, sizeOf(gate!.shape), 0, heap.offset(gate), heap.offset(up), heap.offset(y));
  return [y];
});

export const wasmSwigluGrad = wasmKernel<'gate' | 'up' | 'dy', object, Lib>(base64, ({ inputs: { gate, up, dy }, heap, lib }) => {
  const [dgate, dup] = [heap.output(gate!.shape), heap.output(gate!.shape)];
  lib.swigluGrad(1, sizeOf(gate!.shape), 0, heap.offset(gate), heap.offset(up), heap.offset(dy), heap.offset(dgate), heap.offset(dup));
  return [dgate, dup];
});

/** Byte offsets of gate and value in the first row of a packed tensor. */
const halves = (start: number, width: number, gateFirst: boolean) => (gateFirst ? [start, start + 4 * width] : [start + 4 * width, start]);

export const wasmSplitSwiglu = wasmKernel<'packed', { gateFirst: boolean }, Lib>(base64, ({ inputs: { packed }, attrs: { gateFirst }, heap, lib }) => {
  const lead = packed!.shape.slice(0, -1);
  const width = packed!.shape[lead.length] / 2;
  const y = heap.output([...lead, width]);
  const [gate, up] = halves(heap.offset(packed), width, gateFirst);
  lib.swiglu(sizeOf(lead), width, 2 * width, gate, up, heap.offset(y));
  return [y];
});

export const wasmSplitSwigluGrad = wasmKernel<'packed' | 'dy', { gateFirst: boolean }, Lib>(base64, ({ inputs: { packed, dy }, attrs: { gateFirst }, heap, lib }) => {
  const lead = packed!.shape.slice(0, -1);
  const width = packed!.shape[lead.length] / 2;
  const d = heap.output(packed!.shape);
  const [gate, up] = halves(heap.offset(packed), width, gateFirst);
  const [dgate, dup] = halves(heap.offset(d), width, gateFirst);
  lib.swigluGrad(sizeOf(lead), width, 2 * width, gate, up, heap.offset(dy), dgate, dup);
  return [d];
});
