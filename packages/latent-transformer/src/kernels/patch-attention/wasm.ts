import type { TensorInfo } from '@tensorflow/tfjs-core';
import { wasmKernel, type KernelCall, type WasmHeap } from '@bytelm/core';
import module from '../../generated/patch-attention.wasm.js';
import type { PatchAttentionAttrs, PatchAttentionInput } from './shapes.js';

type Name = 'slotAttention' | 'slotAttentionGrad' | 'poolAttention' | 'poolAttentionGrad';
type PatchModule = Record<Name, (block: number) => void>;
type Input = PatchAttentionInput | 'dy';

/** Words of the struct `Call` in `as/patch-attention.ts`. */
const WORDS = 18;

/** Sizes of a call, in the order of the struct, and the largest number of keys that one query sees. */
type Sizes = { words: readonly number[]; keys: number };

function slotSizes({ q, k, v }: { [K in Input]?: TensorInfo }): Sizes {
  const [B, L, H, D] = q!.shape as [number, number, number, number];
  const [, M, S] = k!.shape as [number, number, number];
  return { words: [B, L, M, S, H, D, v!.shape[4]!], keys: S };
}

function poolSizes({ q, v }: { [K in Input]?: TensorInfo }): Sizes {
  const [B, M, S, H, D] = q!.shape as [number, number, number, number, number];
  const L = v!.shape[1]!;
  return { words: [B, L, M, S, H, D, v!.shape[3]!], keys: L };
}

type Call = KernelCall<Input, PatchAttentionAttrs> & { heap: WasmHeap; lib: PatchModule };

function run(name: Name, { words, keys }: Sizes, { heap, lib, inputs, attrs }: Call, outputs: { y?: TensorInfo; dq?: TensorInfo; dk?: TensorInfo; dv?: TensorInfo }): void {
  const block = heap.scratch(4 * (WORDS + 2 * Math.max(1, keys)));
  const at = heap.i32(block, WORDS);
  at.set(words);
  heap.f32(block, WORDS)[words.length] = attrs.scale;
  const { q, k, v, ids, dy } = inputs;
  const tensors = [q, k, v, ids, outputs.y, dy, outputs.dq, outputs.dk, outputs.dv];
  at.set([...tensors.map((t) => heap.offset(t)), block + 4 * WORDS], words.length + 1);
  lib[name](block);
}

const forward = (name: Name, sizesOf: (inputs: { [K in Input]?: TensorInfo }) => Sizes) =>
  wasmKernel<PatchAttentionInput, PatchAttentionAttrs, PatchModule>(module, (call) => {
    const { q, v } = call.inputs;
    const y = call.heap.output([...q!.shape.slice(0, -1), v!.shape[v!.shape.length - 1]!]);
    run(name, sizesOf(call.inputs), call, { y });
    return [y];
  });

const backward = (name: Name, sizesOf: (inputs: { [K in Input]?: TensorInfo }) => Sizes) =>
  wasmKernel<Input, PatchAttentionAttrs, PatchModule>(module, (call) => {
    const { q, k, v } = call.inputs;
    const [dq, dk, dv] = [q, k, v].map((t) => call.heap.output(t!.shape)) as [TensorInfo, TensorInfo, TensorInfo];
    run(name, sizesOf(call.inputs), call, { dq, dk, dv });
    return [dq, dk, dv];
  });

export const slotAttentionWasm = forward('slotAttention', slotSizes);
export const slotAttentionGradWasm = backward('slotAttentionGrad', slotSizes);
export const poolAttentionWasm = forward('poolAttention', poolSizes);
export const poolAttentionGradWasm = backward('poolAttentionGrad', poolSizes);
