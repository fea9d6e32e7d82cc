import type { ResolvedMamba2Config } from '../../config.js';

/** `hidden` (R, D); states of all rows; the parameters by their role. `norm` is the block's own, `residual` what it adds first. */
export type StepInput =
  | 'hidden'
  | 'residual'
  | 'norm'
  | 'conv'
  | 'ssm'
  | 'inProj'
  | 'inBias'
  | 'convWeight'
  | 'convBias'
  | 'dtBias'
  | 'aLog'
  | 'D'
  | 'gateWeight'
  | 'outProj'
  | 'outBias';

export const STEP_INPUTS: readonly StepInput[] = [
  'hidden', 'residual', 'norm', 'conv', 'ssm', 'inProj', 'inBias', 'convWeight', 'convBias', 'dtBias', 'aLog', 'D', 'gateWeight', 'outProj', 'outBias',
];

export interface StepAttrs {
  config: ResolvedMamba2Config;
  /** Rows of the states that take part; default all. */
  rows?: readonly number[] | undefined;
}
