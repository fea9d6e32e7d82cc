import base64 from '../../generated/rows.wasm.js';
import { wasmKernel } from '../../op/wasm-kernel.js';
import { sizeOf } from '../host.js';
import { idOutOfRange } from './id-check.js';

/** Functions of as/rows.ts. */
interface Lib {
  firstOutside(n: number, ids: number, rows: number): number;
  gatherRows(batch: number, rows: number, width: number, length: number, x: number, idx: number, y: number): void;
  scatterAddRows(batch: number, rows: number, width: number, length: number, values: number, idx: number, y: number): void;
}

export const wasmGatherRows = wasmKernel<'x' | 'idx', object, Lib>(base64, ({ inputs: { x, idx }, heap, lib }) => {
  const [batch, rows, width] = x!.shape;
  const length = idx!.shape[1];
  const y = heap.output([batch, length, width]);
  lib.gatherRows(batch, rows, width, length, heap.offset(x), heap.offset(idx), heap.offset(y));
  return [y];
});

export const wasmScatterAddRows = wasmKernel<'values' | 'idx', { rows: number }, Lib>(base64, ({ inputs: { values, idx }, attrs: { rows }, heap, lib }) => {
  const [batch, length, width] = values!.shape;
  const y = heap.output([batch, rows, width]);
  lib.scatterAddRows(batch, rows, width, length, heap.offset(values), heap.offset(idx), heap.offset(y));
  return [y];
});

export const wasmEmbedding = wasmKernel<'table' | 'ids', object, Lib>(base64, ({ inputs: { table, ids }, heap, lib }) => {
  const [rows, width] = table!.shape;
  const count = sizeOf(ids!.shape);
  const bad = lib.firstOutside(count, heap.offset(ids), rows);
  if (bad >= 0) idOutOfRange(heap.i32(heap.offset(ids), count)[bad], bad, rows);
  const y = heap.output([...ids!.shape, width]);
  lib.gatherRows(1, rows, width, count, heap.offset(table), heap.offset(ids), heap.offset(y));
  return [y];
});
