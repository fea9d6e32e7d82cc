import { wasmKernel } from '@bytelm/core';
import binary from '../../generated/step.wasm.js';
import type { StepAttrs, StepInput } from './attrs.js';

type Pointer = number;

interface StepLib {
  stepScratch(rows: number, dModel: number, heads: number, qkDim: number, vDim: number, intermediate: number): number;
  step(
    hidden: Pointer, residual: Pointer, norm: Pointer, sum: Pointer, y: Pointer, C: Pointer, n: Pointer, m: Pointer, rows: Pointer,
    q: Pointer, k: Pointer, v: Pointer, outputGate: Pointer, inputGate: Pointer, inputBias: Pointer, forgetGate: Pointer, forgetBias: Pointer,
    headNorm: Pointer, outProj: Pointer, norm2: Pointer, gateProj: Pointer, upProj: Pointer, downProj: Pointer,
    R: number, D: number, H: number, K: number, V: number, F: number, cap: number, cellEps: number, headEps: number, eps: number, scratch: Pointer,
  ): void;
}

/** [y, sum when there is a norm]; the states are updated in place. Declines when a clone shares their data. */
export const stepWasm = wasmKernel<StepInput, StepAttrs, StepLib>(binary, ({ inputs: i, attrs, backend, heap, lib }) => {
  const { config: c, rows, normEps } = attrs;
  if ([i.C!, i.n!, i.m!].some((t) => backend.refCount(t.dataId) !== 1)) return null;
  const R = i.hidden!.shape[0]!;
  const F = i.gateProj?.shape[0] ?? 0;
  const y = heap.output([R, c.dModel]);
  const sum = i.norm && heap.output([R, c.dModel]);
  const list = heap.scratch(4 * (R + lib.stepScratch(R, c.dModel, c.numHeads, c.qkDim, c.vDim, F)));
  if (rows) heap.i32(list, R).set(rows);
  const at = heap.offset;
  lib.step(
    at(i.hidden), at(i.residual), at(i.norm), at(sum), at(y), at(i.C), at(i.n), at(i.m), rows ? list : 0,
    at(i.q), at(i.k), at(i.v), at(i.outputGate), at(i.inputGate), at(i.inputBias), at(i.forgetGate), at(i.forgetBias), at(i.headNorm), at(i.outProj),
    at(i.norm2), at(i.gateProj), at(i.upProj), at(i.downProj),
    R, c.dModel, c.numHeads, c.keyDim, c.valueDim, F, c.gateSoftCap ?? 0, c.cellEps, c.headNormEps, normEps, list + 4 * R,
  );
  return sum ? [y, sum] : [y];
});
