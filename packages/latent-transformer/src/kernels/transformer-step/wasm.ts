import type * as tf from '@tensorflow/tfjs-core';
import { wasmInstance, type WasmHeap } from '@bytelm/core';
import module from '../../generated/transformer-step.wasm.js';

interface StepModule {
  transformerStepScratch(rows: number, dModel: number, kvDim: number, intermediate: number, scores: number): number;
  transformerStep(block: number): void;
}

/** What one call of the fused step needs. Absent parts are `undefined`. */
export interface TransformerStepCall {
  hidden: tf.Tensor2D;
  residual: tf.Tensor2D | undefined;
  k: tf.Tensor4D;
  v: tf.Tensor4D;
  heads: number;
  cos: tf.Tensor2D | undefined;
  sin: tf.Tensor2D | undefined;
  interleaved: boolean;
  scale: number;
  eps: number;
  /** Width of the MLP; 0: none. */
  intermediate: number;
  gateFirst: boolean;
  norm1: tf.Tensor;
  qkv: { weight: tf.Tensor; bias?: tf.Tensor | undefined };
  out: { weight: tf.Tensor; bias?: tf.Tensor | undefined };
  norm2: tf.Tensor | undefined;
  fc1: { weight: tf.Tensor; bias?: tf.Tensor | undefined } | undefined;
  fc2: { weight: tf.Tensor; bias?: tf.Tensor | undefined } | undefined;
  /** One entry a row of `hidden`. */
  cacheRows: ArrayLike<number>;
  positions: ArrayLike<number>;
  slots: ArrayLike<number>;
  counts: ArrayLike<number>;
}

/** Words of the struct `Step` in `as/transformer-step.ts`. */
const STRUCT_WORDS = 35;

/** A whole block's decoding step in one call: about a dozen dispatches and all their tensors less. Changes the caches in place. */
export function transformerStepWasm(heap: WasmHeap, call: TransformerStepCall, outputs: { hidden: tf.Tensor2D; residual: tf.Tensor2D }): void {
  const lib = wasmInstance<StepModule>(heap, module);
  const [R, D] = call.hidden.shape;
  const [, capacity, kvHeads, headDim] = call.k.shape;
  let longest = 1;
  for (let i = 0; i < R; i++) longest = Math.max(longest, call.counts[i]!);
  const work = lib.transformerStepScratch(R, D, kvHeads * headDim, call.intermediate, (call.heads / kvHeads) * longest);
  const block = heap.scratch(4 * (STRUCT_WORDS + 4 * R) + work);
  const lists = block + 4 * STRUCT_WORDS;
  const words = heap.i32(block, STRUCT_WORDS + 4 * R);
  const at = (t: tf.Tensor | undefined) => heap.offset(t);
  words.set([R, D, call.heads, kvHeads, headDim, call.cos?.shape[1] ?? 0, Number(call.interleaved), capacity, call.intermediate, Number(call.gateFirst)]);
  heap.f32(block, STRUCT_WORDS).set([call.eps, call.scale], 10);
  words.set(
    [
      ...[call.hidden, call.residual, outputs.hidden, outputs.residual, call.norm1, call.qkv.weight, call.qkv.bias, call.out.weight, call.out.bias].map(at),
      ...[call.norm2, call.fc1?.weight, call.fc1?.bias, call.fc2?.weight, call.fc2?.bias, call.k, call.v, call.cos, call.sin].map(at),
      ...[lists, lists + 4 * R, lists + 8 * R, lists + 12 * R, lists + 16 * R],
    ],
    12,
  );
  [call.cacheRows, call.positions, call.slots, call.counts].forEach((list, i) => words.set(list, STRUCT_WORDS + i * R));
  lib.transformerStep(block);
}
