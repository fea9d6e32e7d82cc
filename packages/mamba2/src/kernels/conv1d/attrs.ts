/** Inputs of the convolution; shapes in `ops/causal-conv1d.ts`. */
export type ConvInput = 'x' | 'weight' | 'bias' | 'initialState' | 'documentIds' | 'lengths';
export const CONV_INPUTS: readonly ConvInput[] = ['x', 'weight', 'bias', 'initialState', 'documentIds', 'lengths'];

/** The backward pass also gets the gradients of both outputs; `dState` is absent when the last state was not asked for. */
export type ConvGradInput = ConvInput | 'dy' | 'dState';
export const CONV_GRAD_INPUTS: readonly ConvGradInput[] = [...CONV_INPUTS, 'dy', 'dState'];

export interface ConvAttrs {
  silu: boolean;
  returnState: boolean;
}

/** Which gradients `CausalConv1dGrad` returns, in order. */
export function convGradOutputs(has: (name: ConvInput) => boolean): ConvInput[] {
  return (['x', 'weight', 'bias', 'initialState'] as const).filter(has);
}
