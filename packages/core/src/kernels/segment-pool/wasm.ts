import base64 from '../../generated/segment-pool.wasm.js';
import { wasmKernel } from '../../op/wasm-kernel.js';
import { MODES } from './modes.js';
import type { SegmentPoolAttrs } from './naive.js';

/** Functions of as/segment-pool.ts. */
interface Lib {
  segmentPool(batch: number, length: number, width: number, num: number, mode: number, x: number, ids: number, y: number): void;
  segmentPoolGrad(batch: number, length: number, width: number, num: number, mode: number, x: number, ids: number, y: number, dy: number, dx: number): void;
}

export const wasmSegmentPool = wasmKernel<'x' | 'ids', SegmentPoolAttrs, Lib>(base64, ({ inputs: { x, ids }, attrs: { num, mode }, heap, lib }) => {
  const [batch, length, width] = x!.shape;
  const y = heap.output([batch, num, width]);
  lib.segmentPool(batch, length, width, num, MODES.indexOf(mode), heap.offset(x), heap.offset(ids), heap.offset(y));
  return [y];
});

export const wasmSegmentPoolGrad = wasmKernel<'x' | 'ids' | 'y' | 'dy', SegmentPoolAttrs, Lib>(
  base64,
  ({ inputs: { x, ids, y, dy }, attrs: { num, mode }, heap, lib }) => {
    const [batch, length, width] = x!.shape;
    const dx = heap.output(x!.shape);
    const at = heap.offset;
    lib.segmentPoolGrad(batch, length, width, num, MODES.indexOf(mode), at(x), at(ids), at(y), at(dy), at(dx));
    return [dx];
  },
);
