import base64 from '../../generated/packed.wasm.js';
import { wasmKernel } from '../../op/wasm-kernel.js';
import { sizeOf } from '../host.js';
import { PACKED_FORMATS, valuesPerWord, type PackedAttrs } from './format.js';
import type { PackedGradInput, PackedLinearInput, UnpackInput } from './op.js';

/** Functions of as/packed.ts. */
interface Lib {
  unpack(format: number, rows: number, columns: number, words: number, scales: number, group: number, y: number): void;
  scratchBytes(rows: number, columns: number): number;
  packedLinear(format: number, rows: number, n: number, k: number, x: number, words: number, scales: number, group: number, bias: number, y: number, scratch: number): void;
  gradientScratchBytes(columns: number): number;
  packedLinearGradient(format: number, rows: number, n: number, k: number, dy: number, words: number, scales: number, group: number, dx: number, scratch: number): void;
}

const codeOf = ({ format }: PackedAttrs) => PACKED_FORMATS.indexOf(format);

export const wasmUnpack = wasmKernel<UnpackInput, PackedAttrs, Lib>(base64, ({ inputs: { words, scales }, attrs, heap, lib }) => {
  const [rows, perRow] = words!.shape as [number, number];
  const y = heap.output([rows, perRow * valuesPerWord(attrs.format)]);
  lib.unpack(codeOf(attrs), rows, y.shape[1]!, heap.offset(words), heap.offset(scales), attrs.group, heap.offset(y));
  return [y];
});

export const wasmPackedLinear = wasmKernel<PackedLinearInput, PackedAttrs, Lib>(base64, ({ inputs: { x, words, scales, bias }, attrs, heap, lib }) => {
  const lead = x!.shape.slice(0, -1);
  const [n, k] = [words!.shape[0]!, x!.shape.at(-1)!];
  const rows = sizeOf(lead);
  const y = heap.output([...lead, n]);
  const scratch = heap.scratch(lib.scratchBytes(rows, k));
  lib.packedLinear(codeOf(attrs), rows, n, k, heap.offset(x), heap.offset(words), heap.offset(scales), attrs.group, heap.offset(bias), heap.offset(y), scratch);
  return [y];
});

export const wasmPackedLinearGrad = wasmKernel<PackedGradInput, PackedAttrs, Lib>(base64, ({ inputs: { dy, words, scales }, attrs, heap, lib }) => {
  const [rows, n] = dy!.shape as [number, number];
  const k = words!.shape[1]! * valuesPerWord(attrs.format);
  if (n === 0) return null;
  const dx = heap.output([rows, k]);
  const scratch = heap.scratch(lib.gradientScratchBytes(k));
  lib.packedLinearGradient(codeOf(attrs), rows, n, k, heap.offset(dy), heap.offset(words), heap.offset(scales), attrs.group, heap.offset(dx), scratch);
  return [dx];
});
