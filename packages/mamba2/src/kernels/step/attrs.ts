import type { ResolvedMamba2Config } from '../../config.js';

/**
 * `hidden` (R, D); states of all rows; the parameters by their role. `norm` is the block's own, `residual` what it adds first. `active` (R) int32, of
 * steps on the device, is 0 in rows whose states stay as they are.
 */
export type StepInput =
  | 'hidden'
  | 'residual'
  | 'active'
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
  'hidden', 'residual', 'active', 'norm', 'conv', 'ssm', 'inProj', 'inBias', 'convWeight', 'convBias', 'dtBias', 'aLog', 'D', 'gateWeight', 'outProj', 'outBias',
];

export interface StepAttrs {
  config: ResolvedMamba2Config;
  /** Rows of the states that take part; default all. */
  rows?: readonly number[] | undefined;
}
