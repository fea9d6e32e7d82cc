import type { TensorInfo } from '@tensorflow/tfjs-core';
import base64 from '../../generated/cross-entropy.wasm.js';
import { wasmKernel, type WasmHeap } from '../../op/wasm-kernel.js';
import { labelOutOfRange, type CrossEntropyAttrs } from './labels.js';

/** Functions of as/cross-entropy.ts. */
interface Lib {
  firstBadLabel(n: number, labels: number, classes: number, ignore: number): number;
  crossEntropy(n: number, classes: number, logits: number, labels: number, ignore: number, zLoss: number, isMean: number, out: number): void;
  crossEntropyGrad(n: number, classes: number, logits: number, labels: number, dloss: number, ignore: number, zLoss: number, isMean: number, dlogits: number): void;
  linearScratch(classes: number): number;
  linearCrossEntropy(
    n: number, width: number, classes: number, hidden: number, weight: number, labels: number,
    ignore: number, zLoss: number, isMean: number, out: number, scratch: number,
  ): void;
  linearCrossEntropyGrad(
    n: number, width: number, classes: number, hidden: number, weight: number, labels: number, dloss: number,
    ignore: number, zLoss: number, isMean: number, dhidden: number, dweight: number, scratch: number,
  ): void;
}

/** Before anything is allocated: an exception in a kernel would leak its outputs. */
function checkLabels(heap: WasmHeap, lib: Lib, labels: TensorInfo, classes: number, ignoreIndex: number): void {
  const [n] = labels.shape;
  const bad = lib.firstBadLabel(n, heap.offset(labels), classes, ignoreIndex);
  if (bad >= 0) labelOutOfRange(heap.i32(heap.offset(labels), n)[bad], bad, classes, ignoreIndex);
}

export const wasmCrossEntropy = wasmKernel<'logits' | 'labels', CrossEntropyAttrs, Lib>(
  base64,
  ({ inputs: { logits, labels }, attrs: { ignoreIndex, zLoss, isMean }, heap, lib }) => {
    const [n, classes] = logits!.shape;
    checkLabels(heap, lib, labels!, classes, ignoreIndex);
    const out = heap.output(isMean ? [] : [n]);
    lib.crossEntropy(n, classes, heap.offset(logits), heap.offset(labels), ignoreIndex, zLoss, Number(isMean), heap.offset(out));
    return [out];
  },
);

export const wasmCrossEntropyGrad = wasmKernel<'logits' | 'labels' | 'dloss', CrossEntropyAttrs, Lib>(
  base64,
  ({ inputs: { logits, labels, dloss }, attrs: { ignoreIndex, zLoss, isMean }, heap, lib }) => {
    const [n, classes] = logits!.shape;
    const d = heap.output(logits!.shape);
    lib.crossEntropyGrad(n, classes, heap.offset(logits), heap.offset(labels), heap.offset(dloss), ignoreIndex, zLoss, Number(isMean), heap.offset(d));
    return [d];
  },
);

export const wasmLinearCrossEntropy = wasmKernel<'hidden' | 'weight' | 'labels', CrossEntropyAttrs, Lib>(
  base64,
  ({ inputs: { hidden, weight, labels }, attrs: { ignoreIndex, zLoss, isMean }, heap, lib }) => {
    const [n, width] = hidden!.shape;
    const classes = weight!.shape[0];
    checkLabels(heap, lib, labels!, classes, ignoreIndex);
    const out = heap.output(isMean ? [] : [n]);
    const scratch = heap.scratch(lib.linearScratch(classes));
    const at = heap.offset;
    lib.linearCrossEntropy(n, width, classes, at(hidden), at(weight), at(labels), ignoreIndex, zLoss, Number(isMean), at(out), scratch);
    return [out];
  },
);

export const wasmLinearCrossEntropyGrad = wasmKernel<'hidden' | 'weight' | 'labels' | 'dloss', CrossEntropyAttrs, Lib>(
  base64,
  ({ inputs: { hidden, weight, labels, dloss }, attrs: { ignoreIndex, zLoss, isMean }, heap, lib }) => {
    const [n, width] = hidden!.shape;
    const classes = weight!.shape[0];
    const [dh, dw] = [heap.output(hidden!.shape), heap.output(weight!.shape)];
    const scratch = heap.scratch(lib.linearScratch(classes));
    const at = heap.offset;
    lib.linearCrossEntropyGrad(
      n, width, classes, at(hidden), at(weight), at(labels), at(dloss), ignoreIndex, zLoss, Number(isMean), at(dh), at(dw), scratch,
    );
    return [dh, dw];
  },
);
