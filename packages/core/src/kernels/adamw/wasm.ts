import binary from '../../generated/adamw.wasm.js';
import { wasmKernel } from '../../op/wasm-kernel.js';
import { sizeOf } from '../host.js';
import { adamwFactors, type AdamWAttrs, type AdamWInput } from './portable.js';

interface AdamWLib {
  adamw(p: number, m: number, v: number, g: number, scale: number, n: number, keep: number, b1: number, b2: number, rate: number, root: number, eps: number): void;
  sumSquares(x: number, base: number, out: number, n: number): void;
}

/** Updates param, m and v in place and returns nothing; declines when a clone shares their data. */
export const adamwWasm = wasmKernel<AdamWInput, AdamWAttrs, AdamWLib>(binary, ({ inputs: { param, m, v, grad, scale }, attrs, backend, heap, lib }) => {
  if ([param!, m!, v!].some((t) => backend.refCount(t.dataId) !== 1)) return null;
  const { keep, rate, root } = adamwFactors(attrs);
  const at = heap.offset;
  lib.adamw(at(param), at(m), at(v), at(grad), at(scale), sizeOf(param!.shape), keep, attrs.beta1, attrs.beta2, rate, root, attrs.eps);
  return [];
});

export const sumSquaresWasm = wasmKernel<'x' | 'sum', object, AdamWLib>(binary, ({ inputs: { x, sum }, heap, lib }) => {
  const out = heap.output([]);
  lib.sumSquares(heap.offset(x), heap.offset(sum), heap.offset(out), sizeOf(x!.shape));
  return [out];
});
