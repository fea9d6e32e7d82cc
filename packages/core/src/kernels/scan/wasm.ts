import base64 from '../../generated/scan.wasm.js';
import { wasmKernel } from '../../op/wasm-kernel.js';
import type { ScanAttrs, ScanGradInput, ScanInput } from './portable.js';

/** Functions of as/scan.ts. */
interface Lib {
  scan(
    batch: number, length: number, width: number, isShared: number, reverse: number,
    b: number, a: number, h0: number, lengths: number, ids: number, y: number, final: number,
  ): void;
  scanGrad(
    batch: number, length: number, width: number, isShared: number, reverse: number,
    a: number, y: number, h0: number, lengths: number, ids: number, dy: number, dfinal: number, db: number, da: number, dh0: number,
  ): void;
}

export const wasmScan = wasmKernel<ScanInput, ScanAttrs, Lib>(base64, ({ inputs: { b, a, h0, lengths, documentIds }, attrs: { reverse }, heap, lib }) => {
  const [batch, length, width] = b!.shape;
  const [y, final] = [heap.output(b!.shape), heap.output([batch, width])];
  const at = heap.offset;
  lib.scan(batch, length, width, Number(a!.shape.length === 2), Number(reverse), at(b), at(a), at(h0), at(lengths), at(documentIds), at(y), at(final));
  return [y, final];
});

export const wasmScanGrad = wasmKernel<ScanGradInput, ScanAttrs, Lib>(
  base64,
  ({ inputs: { a, y, h0, lengths, documentIds, dy, dfinal }, attrs: { reverse }, heap, lib }) => {
    const [batch, length, width] = y!.shape;
    const [db, da, dh0] = [heap.output(y!.shape), heap.output(a!.shape), heap.output([batch, width])];
    const at = heap.offset;
    const isShared = Number(a!.shape.length === 2);
    lib.scanGrad(
      batch, length, width, isShared, Number(reverse), at(a), at(y), at(h0), at(lengths), at(documentIds), at(dy), at(dfinal), at(db), at(da), at(dh0),
    );
    return [db, da, dh0];
  },
);
