import { ConfigError } from '@bytelm/core';
import { stageLrMultipliers } from '@bytelm/dynamic-chunking';
import { checkRunSettings, RUN_DEFAULTS, type RunSettings } from '@bytelm/example-shared/train';
import type { HNetConfig } from '../config.js';
import { numStages } from '../model.js';
import type { DecayRule } from './parameter-groups.js';

/** Everything that decides what a run computes; kept as `run.json` so that it can be resumed and repeated. */
export interface TrainSettings extends RunSettings {
  /** Multiply the learning rate, outermost first, one more than there are routers. */
  lrMultipliers: number[];
  decayRule: DecayRule;
  /** Wanted positions per chunk of each stage, outermost first. */
  ratioTargets: number[];
  ratioWeight: number;
}

export const TRAIN_DEFAULTS = { ...RUN_DEFAULTS, decayRule: 'matrices', ratioWeight: 0.03 } as const satisfies Partial<TrainSettings>;

/** Targets where nothing else says: those of the paper, 6 for one stage, 3 for each of several. */
export function defaultRatioTargets(config: HNetConfig): number[] {
  const stages = numStages(config);
  return Array<number>(stages).fill(stages === 1 ? 6 : 3);
}

/** Multipliers of the paper's rule for this configuration and these targets. */
export function defaultLrMultipliers(config: HNetConfig, ratioTargets: readonly number[]): number[] {
  checkRatioTargets(ratioTargets, config);
  return stageLrMultipliers({ bytesPerChunk: ratioTargets, widths: config.d_model });
}

/** @throws ConfigError when there is not one number above 1 for each router. */
export function checkRatioTargets(targets: readonly number[], config: HNetConfig): void {
  const stages = numStages(config);
  if (targets.length !== stages) throw new ConfigError(`[train] ratio targets: expected ${stages} (one per router), got ${targets.length}. Hint: --ratio-targets 4.5`);
  if (targets.some((n) => !(n > 1))) throw new ConfigError(`[train] ratio targets: expected positions per chunk above 1, got ${targets.join(', ')}.`);
}

/** @throws ConfigError listing everything that does not fit the configuration. */
export function checkSettings(settings: TrainSettings, config: HNetConfig): void {
  const stages = numStages(config);
  checkRatioTargets(settings.ratioTargets, config);
  const { length } = settings.lrMultipliers;
  checkRunSettings(settings, length === stages + 1 ? [] : [`learning-rate multipliers: expected ${stages + 1} (one per stage), got ${length}`]);
}
