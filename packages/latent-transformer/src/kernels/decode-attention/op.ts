import * as tf from '@tensorflow/tfjs-core';
import { defineOp, takeRows, type OpInputs } from '@bytelm/core';
import { attention } from '../../ops/attention.js';
import { decodeAttentionWasm } from './wasm.js';

export type DecodeInput = 'q' | 'k' | 'v';

export interface DecodeAttrs {
  scale: number;
  /** Row of the cache that each query reads; undefined: all in order. */
  rows: readonly number[] | undefined;
  /** Filled slots that each query sees. */
  counts: readonly number[];
}

function decodeAttentionPortable({ q, k, v }: OpInputs<DecodeInput>, { scale, rows, counts }: DecodeAttrs): tf.Tensor[] {
  const [R, H, D] = q!.shape as [number, number, number];
  // Only as much of the cache as is filled, in steps of 64: every new size may cost WebGPU a new program.
  const longest = Math.min(k!.shape[1]!, Math.ceil(Math.max(1, ...counts) / 64) * 64);
  const used = (cache: tf.Tensor) => {
    const [B, C, h, d] = cache.shape as [number, number, number, number];
    return takeRows(longest < C ? tf.slice(cache, [0, 0, 0, 0], [B, longest, h, d]) : cache, rows) as tf.Tensor4D;
  };
  const keyLengths = counts.every((n) => n === longest) ? undefined : tf.tensor1d([...counts], 'int32');
  const { y } = attention(tf.reshape(q!, [R, 1, H, D]) as tf.Tensor4D, { k: used(k!), v: used(v!), mask: { keyLengths }, scale });
  return [tf.reshape(y, [R, H, v!.shape[3]!])];
}

export const decodeAttentionOp = defineOp<DecodeInput, DecodeAttrs>({
  name: 'DecodeAttention',
  inputs: ['q', 'k', 'v'],
  portable: decodeAttentionPortable,
  kernels: { wasm: decodeAttentionWasm },
});
