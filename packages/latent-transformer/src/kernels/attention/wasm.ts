import type { TensorInfo } from '@tensorflow/tfjs-core';
import { wasmKernel, type WasmHeap } from '@bytelm/core';
import forwardModule from '../../generated/attention.wasm.js';
import backwardModule from '../../generated/attention-grad.wasm.js';
import type { AttentionAttrs, AttentionInput, MaskInput } from './mask.js';

type Numbers = (...args: (number | boolean)[]) => void;

interface ForwardModule {
  attentionScratch(queries: number, keys: number, valueDim: number): number;
  attentionForward: Numbers;
}

interface BackwardModule {
  attentionGradScratch(queries: number, keys: number): number;
  attentionBackward: Numbers;
}

/** Arguments that both directions share, in the order of the modules. */
function shared(heap: WasmHeap, inputs: { [K in AttentionInput]?: TensorInfo }, attrs: AttentionAttrs, scratch: number): (number | boolean)[] {
  const { q, k, v } = inputs as { [K in AttentionInput]: TensorInfo };
  const [B, queries, H, D] = q.shape as [number, number, number, number];
  const mask: MaskInput[] = ['querySegments', 'keySegments', 'keyLengths', 'queryPositions', 'keyPositions'];
  return [
    ...[B, queries, k.shape[1]!, H, k.shape[2]!, D, v.shape[3]!],
    ...mask.map((name) => heap.offset(inputs[name])),
    ...[attrs.scale, attrs.causal, attrs.queryOffset, attrs.windowLeft, attrs.segmentRule === 'le', scratch],
  ];
}

export const attentionWasm = wasmKernel<AttentionInput, AttentionAttrs, ForwardModule>(forwardModule, ({ heap, lib, inputs, attrs }) => {
  const { q, k, v } = inputs;
  const [B, queries, H] = q!.shape as [number, number, number];
  const y = heap.output([B, queries, H, v!.shape[3]!]);
  const lse = heap.output([B, H, queries]);
  const scratch = heap.scratch(lib.attentionScratch(queries, k!.shape[1]!, v!.shape[3]!));
  lib.attentionForward(heap.offset(y), heap.offset(lse), heap.offset(q), heap.offset(k), heap.offset(v), ...shared(heap, inputs, attrs, scratch));
  return [y, lse];
});

export const attentionGradWasm = wasmKernel<AttentionInput | 'dy' | 'lse' | 'delta', AttentionAttrs, BackwardModule>(backwardModule, ({ heap, lib, inputs, attrs }) => {
  const { q, k, v, dy, lse, delta } = inputs;
  const grads = [q, k, v].map((t) => heap.output(t!.shape));
  const scratch = heap.scratch(lib.attentionGradScratch(q!.shape[1]!, k!.shape[1]!));
  lib.attentionBackward(...[...grads, q, k, v, dy, lse, delta].map((t) => heap.offset(t)), ...shared(heap, inputs, attrs, scratch));
  return grads;
});
