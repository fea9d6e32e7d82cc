import base64 from '../../generated/norm.wasm.js';
import { wasmKernel } from '../../op/wasm-kernel.js';
import { sizeOf } from '../host.js';
import type { GatedNormAttrs, NormAttrs } from './portable.js';

/** Functions of as/norm.ts. */
interface Lib {
  rmsNorm(rows: number, groups: number, size: number, eps: number, x: number, residual: number, weight: number, y: number, sum: number, r: number): void;
  rmsNormGrad(rows: number, groups: number, size: number, x: number, weight: number, r: number, dy: number, extra: number, dx: number, dw: number): void;
  gatedNorm(rows: number, groups: number, size: number, eps: number, normFirst: number, x: number, z: number, weight: number, y: number): void;
  gatedNormGrad(
    rows: number, groups: number, size: number, eps: number, normFirst: number,
    x: number, z: number, weight: number, dy: number, dx: number, dz: number, dw: number,
  ): void;
}

const layout = (shape: number[], groupSize: number) => ({ rows: sizeOf(shape.slice(0, -1)), groups: shape[shape.length - 1] / groupSize });

export const wasmRmsNorm = wasmKernel<'x' | 'residual' | 'weight', NormAttrs, Lib>(base64, ({ inputs: { x, residual, weight }, attrs: { eps, groupSize }, heap, lib }) => {
  const { rows, groups } = layout(x!.shape, groupSize);
  const y = heap.output(x!.shape);
  const sum = residual && heap.output(x!.shape);
  const r = heap.output([rows, groups]);
  const at = heap.offset;
  lib.rmsNorm(rows, groups, groupSize, eps, at(x), at(residual), at(weight), at(y), at(sum), at(r));
  return sum ? [y, sum, r] : [y, r];
});

export const wasmRmsNormGrad = wasmKernel<'x' | 'weight' | 'r' | 'dy' | 'extra', NormAttrs, Lib>(
  base64,
  ({ inputs: { x, weight, r, dy, extra }, attrs: { groupSize }, heap, lib }) => {
    const { rows, groups } = layout(x!.shape, groupSize);
    const dx = heap.output(x!.shape);
    const dw = heap.output(weight!.shape);
    const at = heap.offset;
    lib.rmsNormGrad(rows, groups, groupSize, at(x), at(weight), at(r), at(dy), at(extra), at(dx), at(dw));
    return [dx, dw];
  },
);

export const wasmGatedRmsNorm = wasmKernel<'x' | 'gate' | 'weight', GatedNormAttrs, Lib>(
  base64,
  ({ inputs: { x, gate, weight }, attrs: { eps, groupSize, normBeforeGate }, heap, lib }) => {
    const { rows, groups } = layout(x!.shape, groupSize);
    const y = heap.output(x!.shape);
    const at = heap.offset;
    lib.gatedNorm(rows, groups, groupSize, eps, Number(normBeforeGate), at(x), at(gate), at(weight), at(y));
    return [y];
  },
);

export const wasmGatedRmsNormGrad = wasmKernel<'x' | 'gate' | 'weight' | 'dy', GatedNormAttrs, Lib>(
  base64,
  ({ inputs: { x, gate, weight, dy }, attrs: { eps, groupSize, normBeforeGate }, heap, lib }) => {
    const { rows, groups } = layout(x!.shape, groupSize);
    const [dx, dz, dw] = [heap.output(x!.shape), heap.output(x!.shape), heap.output(weight!.shape)];
    const at = heap.offset;
    lib.gatedNormGrad(rows, groups, groupSize, eps, Number(normBeforeGate), at(x), at(gate), at(weight), at(dy), at(dx), at(dz), at(dw));
    return [dx, dz, dw];
  },
);
