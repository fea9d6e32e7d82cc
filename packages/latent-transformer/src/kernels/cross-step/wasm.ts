import * as tf from '@tensorflow/tfjs-core';
import { wasmInstance, type WasmHeap } from '@bytelm/core';
import module from '../../generated/cross-step.wasm.js';

interface CrossStepModule {
  crossStepScratch(rows: number, dModel: number, scores: number): number;
  crossKeysValues(block: number): void;
  crossAttend(block: number): void;
}

/** Square; of bf16 where `packed` is there, all four alike. */
type CrossMatrix = { weight: tf.Tensor; packed: object | undefined };

/** The weights of a cross-attention layer. */
export interface CrossStepWeights {
  numHeads: number;
  scale: number;
  normQuery: { weight: tf.Tensor; eps: number };
  normMemory: { weight: tf.Tensor; eps: number };
  wq: CrossMatrix;
  wk: CrossMatrix;
  wv: CrossMatrix;
  wo: CrossMatrix;
}

export interface CacheTensors {
  /** (B, C, H, hd). */
  k: tf.Tensor4D;
  v: tf.Tensor4D;
}

/**
 * Writes keys and values of rows of a memory into a cache, in place.
 * @param x rows of D floats: row i begins at float `first + i * stride`. @param targets (R) slots, counted through all rows of the cache.
 */
export function crossKeysValuesWasm(
  heap: WasmHeap,
  layer: CrossStepWeights,
  { x, first, stride }: { x: tf.Tensor2D; first: number; stride: number },
  cache: CacheTensors,
  targets: ArrayLike<number>,
): void {
  const lib = wasmInstance<CrossStepModule>(heap, module);
  const R = targets.length;
  const D = layer.wk.weight.shape[0]!;
  const WORDS = 13;
  const block = heap.scratch(4 * (WORDS + R) + lib.crossStepScratch(R, D, 0));
  const words = heap.i32(block, WORDS + R);
  const tensors = [layer.normMemory.weight, layer.wk.weight, layer.wv.weight, cache.k, cache.v];
  words.set([R, D, stride, Number(layer.wk.packed !== undefined), 0, heap.offset(x) + 4 * first, ...tensors.map((t) => heap.offset(t)), block + 4 * WORDS, block + 4 * (WORDS + R)]);
  heap.f32(block, WORDS)[4] = layer.normMemory.eps;
  words.set(targets, WORDS);
  lib.crossKeysValues(block);
}

/**
 * One query a row against its cache row: `residual = hidden + residual; hidden = residual + attention(norm(residual))`.
 * @param pair (R, D) each. @param rows, counts (R) cache row, and how many of its first slots are filled.
 */
export function crossAttendWasm(
  heap: WasmHeap,
  layer: CrossStepWeights,
  pair: { hidden: tf.Tensor2D; residual?: tf.Tensor2D | undefined },
  cache: CacheTensors,
  { rows, counts }: { rows: ArrayLike<number>; counts: ArrayLike<number> },
  out: { hidden: tf.Tensor2D; residual: tf.Tensor2D },
): void {
  const lib = wasmInstance<CrossStepModule>(heap, module);
  const [R, D] = pair.hidden.shape;
  const WORDS = 19;
  const longest = Array.from(counts).reduce((a, n) => Math.max(a, n), 1);
  const block = heap.scratch(4 * (WORDS + 2 * R) + lib.crossStepScratch(R, D, layer.numHeads * longest));
  const words = heap.i32(block, WORDS + 2 * R);
  const lists = block + 4 * WORDS;
  const tensors = [pair.hidden, pair.residual, out.hidden, out.residual, layer.normQuery.weight, layer.wq.weight, layer.wo.weight, cache.k, cache.v];
  words.set([R, D, layer.numHeads, cache.k.shape[1], Number(layer.wq.packed !== undefined), 0, 0, ...tensors.map((t) => heap.offset(t)), lists, lists + 4 * R, lists + 8 * R]);
  heap.f32(block, WORDS).set([layer.normQuery.eps, layer.scale], 5);
  words.set(rows, WORDS);
  words.set(counts, WORDS + R);
  lib.crossAttend(block);
}
