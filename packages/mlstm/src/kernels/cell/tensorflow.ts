import { tensorflowKernel, type KernelCall } from '@bytelm/core';
import { cellGradOutputs, equalChunk, type CellAttrs, type CellGradInput, type CellInput } from './attrs.js';

const FLOATS = ['q', 'k', 'v', 'inputGate', 'forgetGate', 'C', 'n', 'm'] as const;
const INTS = ['documentIds', 'lengths'] as const;
const chunkOf = ({ inputs }: Pick<KernelCall<CellInput, CellAttrs>, 'inputs'>, size: number) => equalChunk(inputs.q!.shape[1]!, size);

export const cellTensorflow = tensorflowKernel<CellInput, CellAttrs>('Mlstm', {
  floats: FLOATS,
  ints: INTS,
  numbers: (call) => [chunkOf(call, call.attrs.recurrent ? 1 : call.attrs.chunkSize), call.attrs.eps, Number(call.attrs.returnFinalState)],
  outputs: ({ attrs }) => (attrs.returnFinalState ? 4 : 1),
});

export const cellGradTensorflow = tensorflowKernel<CellGradInput, CellAttrs>('MlstmGrad', {
  floats: [...FLOATS, 'h', 'dh', 'dC', 'dn', 'dm'],
  ints: INTS,
  numbers: (call) => [chunkOf(call, call.attrs.chunkSize), call.attrs.eps, Number(call.attrs.publishedGradient)],
  outputs: ({ inputs }) => cellGradOutputs((n) => inputs[n] !== undefined).length,
});
