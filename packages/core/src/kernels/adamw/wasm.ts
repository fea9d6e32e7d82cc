import binary from '../../generated/adamw.wasm.js';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { wasmKernel } from '../../op/wasm-kernel.js';
import { sizeOf } from '../host.js';
import { adamwFactors, type AdamWAttrs, type AdamWInput } from './portable.js';

interface AdamWLib {
  adamw(p: number, m: number, v: number, g: number, scale: number, n: number, keep: number, b1: number, b2: number, rate: number, root: number, eps: number): void;
  sumSquares(x: number, base: number, out: number, n: number): void;
}

/** The part of tfjs' wasm backend that keeps its table of tensors. */
interface TensorTable {
  dataIdMap: { get(id: object): { id: number; memoryOffset: number } };
  wasm: { tfjs?: { registerTensor?(id: number, size: number, offset: number): void; disposeData?(id: number): void } };
}

/**
 * Tells tfjs that a tensor's values have changed: it keeps packed copies of what its own matMul and conv once read, by tensor id, until the
 * tensor is disposed. Taking it off the table (which frees no memory) and back on drops them.
 */
function forgetCopies(backend: KernelBackend, t: TensorInfo): void {
  const { dataIdMap, wasm } = backend as unknown as TensorTable;
  const { id, memoryOffset } = dataIdMap.get(t.dataId);
  wasm.tfjs!.disposeData!(id);
  wasm.tfjs!.registerTensor!(id, sizeOf(t.shape), memoryOffset);
}

const canForget = (backend: KernelBackend): boolean => {
  const { tfjs } = (backend as unknown as TensorTable).wasm;
  return typeof tfjs?.disposeData === 'function' && typeof tfjs.registerTensor === 'function';
};

/** Updates param, m and v in place and returns nothing; declines when a clone shares their data. */
export const adamwWasm = wasmKernel<AdamWInput, AdamWAttrs, AdamWLib>(binary, ({ inputs: { param, m, v, grad, scale }, attrs, backend, heap, lib }) => {
  if (!canForget(backend) || [param!, m!, v!].some((t) => backend.refCount(t.dataId) !== 1)) return null;
  const { keep, rate, root } = adamwFactors(attrs);
  const at = heap.offset;
  lib.adamw(at(param), at(m), at(v), at(grad), at(scale), sizeOf(param!.shape), keep, attrs.beta1, attrs.beta2, rate, root, attrs.eps);
  forgetCopies(backend, param!);
  return [];
});

export const sumSquaresWasm = wasmKernel<'x' | 'sum', object, AdamWLib>(binary, ({ inputs: { x, sum }, heap, lib }) => {
  const out = heap.output([]);
  lib.sumSquares(heap.offset(x), heap.offset(sum), heap.offset(out), sizeOf(x!.shape));
  return [out];
});
