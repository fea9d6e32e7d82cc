import { wasmKernel } from '@bytelm/core';
import binary from '../../generated/step.wasm.js';
import type { StepAttrs, StepInput } from './attrs.js';

type Pointer = number;

interface StepLib {
  stepScratch(rows: number, dModel: number, dInner: number, projRows: number, convChannels: number): number;
  step(
    hidden: Pointer, residual: Pointer, norm: Pointer, sum: Pointer, y: Pointer, conv: Pointer, ssm: Pointer, rows: Pointer,
    inProj: Pointer, inBias: Pointer, convWeight: Pointer, convBias: Pointer, dtBias: Pointer, aLog: Pointer, skip: Pointer, gateWeight: Pointer,
    outProj: Pointer, outBias: Pointer,
    R: number, D: number, dMlp: number, H: number, P: number, G: number, N: number, K: number,
    perChannel: number, normFirst: number, low: number, high: number, eps: number, scratch: Pointer,
  ): void;
}

/** [y, sum when there is a norm]; the states are updated in place. Declines when a clone shares their data. */
export const stepWasm = wasmKernel<StepInput, StepAttrs, StepLib>(binary, ({ inputs: i, attrs, backend, heap, lib }) => {
  const { config: c, rows } = attrs;
  if (backend.refCount(i.conv!.dataId) !== 1 || backend.refCount(i.ssm!.dataId) !== 1) return null;
  const R = i.hidden!.shape[0]!;
  const y = heap.output([R, c.dModel]);
  const sum = i.norm && heap.output([R, c.dModel]);
  const floats = lib.stepScratch(R, c.dModel, c.dInner, c.projRows, c.convChannels);
  const list = heap.scratch(4 * (R + floats));
  if (rows) heap.i32(list, R).set(rows);
  const at = heap.offset;
  lib.step(
    at(i.hidden), at(i.residual), at(i.norm), at(sum), at(y), at(i.conv), at(i.ssm), rows ? list : 0,
    at(i.inProj), at(i.inBias), at(i.convWeight), at(i.convBias), at(i.dtBias), at(i.aLog), at(i.D), at(i.gateWeight),
    at(i.outProj), at(i.outBias),
    R, c.dModel, c.dMlp, c.numHeads, c.headDim, c.numGroups, c.dState, c.convWidth,
    +c.dPerChannel, +c.normBeforeGate, c.dtLimit[0], Math.min(c.dtLimit[1], 3e38), c.eps, list + 4 * R,
  );
  return sum ? [y, sum] : [y];
});
