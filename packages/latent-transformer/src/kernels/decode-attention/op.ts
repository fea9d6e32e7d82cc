import * as tf from '@tensorflow/tfjs-core';
import { defineOp, takeRows, type OpInputs } from '@bytelm/core';
import { attention } from '../../ops/attention.js';
import { decodeAttentionWasm } from './wasm.js';
import { decodeAttentionWebGpu } from './webgpu.js';

export type DecodeInput = 'q' | 'k' | 'v';

export interface DecodeAttrs {
  scale: number;
  /** Row of the cache that each query reads; undefined: all in order. */
  rows: readonly number[] | undefined;
  /** First slot that each query sees; undefined: 0. */
  starts: readonly number[] | undefined;
  /** Slots that each query sees from there on, beginning again at slot 0 behind the last one. */
  counts: readonly number[];
}

function decodeAttentionPortable({ q, k, v }: OpInputs<DecodeInput>, { scale, rows, starts, counts }: DecodeAttrs): tf.Tensor[] {
  const [R, H, D] = q!.shape as [number, number, number];
  const capacity = k!.shape[1]!;
  // Only as much of the cache as is seen, in steps of 64: every new size may cost WebGPU a new program.
  const end = Math.max(1, ...counts.map((n, i) => (starts?.[i] ?? 0) + n));
  const longest = Math.min(capacity, Math.ceil(end / 64) * 64);
  const used = (cache: tf.Tensor) => {
    const [B, C, h, d] = cache.shape as [number, number, number, number];
    return takeRows(longest < C ? tf.slice(cache, [0, 0, 0, 0], [B, longest, h, d]) : cache, rows) as tf.Tensor4D;
  };
  const mask = starts?.some((n) => n > 0)
    ? { keyPositions: seenSlots(starts, counts, longest, capacity) }
    : { keyLengths: counts.every((n) => n === longest) ? undefined : tf.tensor1d([...counts], 'int32') };
  const { y } = attention(tf.reshape(q!, [R, 1, H, D]) as tf.Tensor4D, { k: used(k!), v: used(v!), mask, scale });
  return [tf.reshape(y, [R, H, v!.shape[3]!])];
}

/** (R, slots) 0 where a query sees a slot, −1, which is no key, elsewhere. */
function seenSlots(starts: readonly number[], counts: readonly number[], slots: number, capacity: number): tf.Tensor2D {
  const out = new Int32Array(starts.length * slots).fill(-1);
  starts.forEach((start, i) => {
    for (let n = 0; n < counts[i]!; n++) out[i * slots + ((start + n) % capacity)] = 0;
  });
  return tf.tensor2d(out, [starts.length, slots], 'int32');
}

export const decodeAttentionOp = defineOp<DecodeInput, DecodeAttrs>({
  name: 'DecodeAttention',
  inputs: ['q', 'k', 'v'],
  portable: decodeAttentionPortable,
  kernels: { wasm: decodeAttentionWasm, webgpu: decodeAttentionWebGpu },
});
