import { RUN_DEFAULTS, type RunSettings } from '@bytelm/example-shared/train';
import type { DecayRule } from './parameter-groups.js';

/** Everything that decides what a run of the entropy model computes. */
export interface EntropyTrainSettings extends RunSettings {
  decayRule: DecayRule;
}

export const ENTROPY_DEFAULTS = { ...RUN_DEFAULTS, lr: 3e-3, warmup: 0.05, decayRule: 'matrices' } as const satisfies Partial<EntropyTrainSettings>;
