import { tensorflowKernel, type KernelCall } from '@bytelm/core';
import { ssdGradOutputs, type SsdAttrs, type SsdGradInput, type SsdInput } from './attrs.js';

function numbers({ inputs, attrs }: Pick<KernelCall<SsdInput, SsdAttrs>, 'inputs' | 'attrs'>): number[] {
  const length = inputs.x!.shape[1]!;
  // Equal chunks, as in the portable form.
  const chunk = Math.ceil(length / Math.ceil(length / attrs.chunkSize));
  const isLimited = attrs.dtMin > 0 || attrs.dtMax < Infinity;
  return [chunk, Number(attrs.dtSoftplus), isLimited ? attrs.dtMin : -Infinity, attrs.dtMax, Number(attrs.returnFinalState)];
}

const FLOATS = ['x', 'dt', 'A', 'B', 'C', 'D', 'dtBias', 'initialState'] as const;
const INTS = ['documentIds', 'lengths'] as const;

export const ssdTensorflow = tensorflowKernel<SsdInput, SsdAttrs>('Ssd', {
  floats: FLOATS,
  ints: INTS,
  numbers,
  outputs: ({ attrs }) => (attrs.returnFinalState ? 2 : 1),
});

export const ssdGradTensorflow = tensorflowKernel<SsdGradInput, SsdAttrs>('SsdGrad', {
  floats: [...FLOATS, 'dy', 'dState'],
  ints: INTS,
  numbers: (call) => numbers(call).slice(0, 4),
  outputs: ({ inputs }) => ssdGradOutputs((n) => inputs[n] !== undefined).length,
});
