import type { ResolvedMLSTMConfig } from '../../config.js';

/**
 * `hidden` (R, D); states of all rows; the parameters by their role. `norm` is the block's first, `residual` what it adds; `norm2` and the three
 * after it are the block's second half. `active` (R) int32, of steps on the device, is 0 in rows whose states stay as they are.
 */
export type StepInput =
  | 'hidden'
  | 'residual'
  | 'active'
  | 'norm'
  | 'C'
  | 'n'
  | 'm'
  | 'q'
  | 'k'
  | 'v'
  | 'outputGate'
  | 'inputGate'
  | 'inputBias'
  | 'forgetGate'
  | 'forgetBias'
  | 'headNorm'
  | 'outProj'
  | 'norm2'
  | 'gateProj'
  | 'upProj'
  | 'downProj';

export const STEP_INPUTS: readonly StepInput[] = [
  'hidden', 'residual', 'active', 'norm', 'C', 'n', 'm', 'q', 'k', 'v', 'outputGate', 'inputGate', 'inputBias', 'forgetGate', 'forgetBias', 'headNorm', 'outProj',
  'norm2', 'gateProj', 'upProj', 'downProj',
];

export interface StepAttrs {
  config: ResolvedMLSTMConfig;
  /** Of the block's own norms. */
  normEps: number;
  /** Rows of the states that take part; default all. */
  rows?: readonly number[] | undefined;
}
