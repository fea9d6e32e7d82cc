import { wasmKernel, type WasmHeap } from '@bytelm/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import binary from '../../generated/hash-embedding.wasm.js';
import { tableName, type GradInput, type HashEmbeddingAttrs, type HashEmbeddingGradAttrs } from './attrs.js';

/** Functions of as/hash-embedding.ts. */
interface Lib {
  hashEmbedding(sources: number, count: number, width: number, table: number, y: number): void;
  hashEmbeddingGrad(count: number, width: number, index: number, start: number, rows: number, dy: number, g: number): void;
}

type Indices = { ids?: TensorInfo; buckets?: TensorInfo };

/** Byte offset of the indices of a table. */
function indexOffset(heap: WasmHeap, { ids, buckets }: Indices, table: number): number {
  return table < 0 ? heap.offset(ids) : heap.offset(buckets) + 4 * table * ids!.shape[0]!;
}

export const wasmHashEmbedding = wasmKernel<string, HashEmbeddingAttrs, Lib>(binary, ({ inputs, attrs: { sources }, heap, lib }) => {
  const count = inputs.ids!.shape[0]!;
  const width = inputs[tableName(0)]!.shape[1]!;
  const y = heap.output([count, width]);
  const table = heap.scratch(16 * sources.length);
  const words = heap.i32(table, 4 * sources.length);
  sources.forEach((source, s) => {
    const rows = inputs[tableName(s)]!;
    words.set([heap.offset(rows), indexOffset(heap, inputs, source.table), source.start, rows.shape[0]!], 4 * s);
  });
  lib.hashEmbedding(sources.length, count, width, table, heap.offset(y));
  return [y];
});

export const wasmHashEmbeddingGrad = wasmKernel<GradInput, HashEmbeddingGradAttrs, Lib>(binary, ({ inputs, attrs: { sources }, heap, lib }) => {
  const [count, width] = inputs.dy!.shape as [number, number];
  return sources.map(({ table, start, rows }) => {
    const g = heap.output([rows, width]);
    lib.hashEmbeddingGrad(count, width, indexOffset(heap, inputs, table), start, rows, heap.offset(inputs.dy), heap.offset(g));
    return g;
  });
});
