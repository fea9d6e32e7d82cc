import { tensorflowKernel, type FastKernel, type NativeCall } from '@bytelm/core';
import { tableName, type GradInput, type HashEmbeddingAttrs, type HashEmbeddingGradAttrs, type RowSource } from './attrs.js';

/** Native ops learn which inputs are there from the bits of a float32, and all numbers travel as float32. */
const MOST_TABLES = 24;
const isExact = (sources: readonly RowSource[]) => sources.every(({ start }) => Math.fround(start) === start);

const calls = new Map<number, FastKernel<string, HashEmbeddingAttrs>>();

function kernelFor(count: number): FastKernel<string, HashEmbeddingAttrs> {
  let call = calls.get(count);
  if (!call) {
    const spec: NativeCall<string, HashEmbeddingAttrs> = {
      floats: Array.from({ length: count }, (_, s) => tableName(s)),
      ints: ['ids', 'buckets'],
      numbers: ({ attrs: { sources } }) => [sources.length, ...sources.flatMap(({ table, start }) => [table, start])],
      outputs: () => 1,
    };
    calls.set(count, (call = tensorflowKernel('HashEmbedding', spec)));
  }
  return call;
}

export const tensorflowHashEmbedding: FastKernel<string, HashEmbeddingAttrs> = (call) => {
  const { sources } = call.attrs;
  return sources.length <= MOST_TABLES && isExact(sources) ? kernelFor(sources.length)(call) : null;
};

const grad = tensorflowKernel<GradInput, HashEmbeddingGradAttrs>('HashEmbeddingGrad', {
  floats: ['dy'],
  ints: ['ids', 'buckets'],
  numbers: ({ attrs: { sources } }) => [sources.length, ...sources.flatMap(({ table, start, rows }) => [table, start, rows])],
  outputs: ({ attrs }) => attrs.sources.length,
});

export const tensorflowHashEmbeddingGrad: FastKernel<GradInput, HashEmbeddingGradAttrs> = (call) =>
  isExact(call.attrs.sources) && call.attrs.sources.every(({ rows }) => Math.fround(rows) === rows) ? grad(call) : null;
