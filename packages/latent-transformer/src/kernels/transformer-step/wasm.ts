import type * as tf from '@tensorflow/tfjs-core';
import { wasmInstance, type WasmHeap } from '@bytelm/core';
import module from '../../generated/transformer-step.wasm.js';

interface StepModule {
  transformerStepScratch(rows: number, dModel: number, qDim: number, kvDim: number, intermediate: number, scores: number): number;
  transformerStep(block: number): void;
}

interface Weights {
  weight: tf.Tensor;
  bias?: tf.Tensor | undefined;
}

/** What a fused step of a block works on, but for the rows' places. Absent parts are `undefined`. */
export interface TransformerStepBlock {
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
  postNorm: boolean;
  normPerHead: boolean;
  /** Matrices are words of bf16. */
  packed: boolean;
  norm1: tf.Tensor;
  /** One for queries, keys and values, or one for each. */
  qkv: readonly Weights[];
  qNorm: tf.Tensor | undefined;
  kNorm: tf.Tensor | undefined;
  out: Weights;
  norm2: tf.Tensor | undefined;
  /** One for gate and value, or one for each; none without an MLP. */
  gateUp: readonly Weights[];
  down: Weights | undefined;
}

/** What one call of the fused step needs. */
export interface TransformerStepCall extends TransformerStepBlock {
  /** One entry a row of `hidden`. */
  cacheRows: ArrayLike<number>;
  positions: ArrayLike<number>;
  slots: ArrayLike<number>;
  starts: ArrayLike<number>;
  counts: ArrayLike<number>;
}

/** Words of the struct `Step` in `as/transformer-step.ts`: whole numbers, floats, tensors, lists of one entry a row, work space. */
const INTS = 13;
const FLOATS = 2;
const TENSORS = 26;
const LISTS = 5;
const STRUCT_WORDS = INTS + FLOATS + TENSORS + LISTS + 1;

/** A whole block's decoding step in one call: about a dozen dispatches and all their tensors less. Changes the caches in place. */
export function transformerStepWasm(heap: WasmHeap, call: TransformerStepCall, outputs: { hidden: tf.Tensor2D; residual: tf.Tensor2D }): void {
  const lib = wasmInstance<StepModule>(heap, module);
  const [R, D] = call.hidden.shape;
  const [, capacity, kvHeads, headDim] = call.k.shape;
  let longest = 1;
  for (let i = 0; i < R; i++) longest = Math.max(longest, call.counts[i]!);
  const work = lib.transformerStepScratch(R, D, call.heads * headDim, kvHeads * headDim, call.intermediate, call.heads * longest);
  const total = STRUCT_WORDS + LISTS * R;
  const block = heap.scratch(4 * total + work);
  const words = heap.i32(block, total);
  words.set([R, D, call.heads, kvHeads, headDim, call.cos?.shape[1] ?? 0, Number(call.interleaved), capacity, call.intermediate, Number(call.gateFirst), Number(call.postNorm), Number(call.normPerHead), Number(call.packed)]);
  heap.f32(block, STRUCT_WORDS).set([call.eps, call.scale], INTS);
  const [q, k, v] = call.qkv;
  const [gate, up] = call.gateUp;
  const tensors = [
    call.hidden, call.residual, outputs.hidden, outputs.residual, call.norm1,
    q!.weight, q!.bias, k?.weight, k?.bias, v?.weight, v?.bias, call.qNorm, call.kNorm, call.out.weight, call.out.bias,
    call.norm2, gate?.weight, gate?.bias, up?.weight, up?.bias, call.down?.weight, call.down?.bias,
    call.k, call.v, call.cos, call.sin,
  ];
  let at = INTS + FLOATS;
  for (const t of tensors) words[at++] = heap.offset(t);
  [call.cacheRows, call.positions, call.slots, call.starts, call.counts].forEach((list, i) => {
    const first = STRUCT_WORDS + i * R;
    words[at++] = block + 4 * first;
    words.set(list, first);
  });
  words[at] = block + 4 * total;
  lib.transformerStep(block);
}
