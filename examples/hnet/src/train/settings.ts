import { ConfigError } from '@bytelm/core';
import type { DecayShape } from '@bytelm/core/train';
import { stageLrMultipliers } from '@bytelm/dynamic-chunking';
import type { HNetConfig } from '../config.js';
import { numStages } from '../model.js';
import type { ByteRange } from '../cli/values.js';
import type { BackendChoice } from '../cli/shared-options.js';
import type { DecayRule } from './parameter-groups.js';

/** Everything that decides what a run computes; kept as `run.json` so that it can be resumed and repeated. */
export interface TrainSettings {
  /** Files and folders, in this order. */
  data: string[];
  /** Bytes of the data to train on; `null`: all but what is held out. */
  range: ByteRange | null;
  /** Where held-out text is; `null`: in `data`. */
  validData: string[] | null;
  /** Held-out bytes; `null`: all of `validData`, or without it the end of the range. */
  validRange: ByteRange | null;
  /** Rows of a batch, bytes of a row, batches of an update, updates of the run. */
  batch: number;
  length: number;
  accumulate: number;
  steps: number;
  /** Highest learning rate, before the stages' multipliers. */
  lr: number;
  /** Outermost first, one more than there are routers. */
  lrMultipliers: number[];
  schedule: 'wsd' | 'cosine' | 'constant';
  /** Shares of the run. */
  warmup: number;
  decay: number;
  decayShape: DecayShape;
  weightDecay: number;
  decayRule: DecayRule;
  /** Largest global gradient norm; 0: no limit. */
  clip: number;
  /** Wanted positions per chunk of each stage, outermost first. */
  ratioTargets: number[];
  ratioWeight: number;
  /** Checkpoint that the weights come from. */
  init: string | null;
  seed: number;
  backend: BackendChoice;
  /** Evaluate after so many updates (0: never) on so many held-out bytes. */
  evalEvery: number;
  evalBytes: number;
  saveEvery: number;
  /** Checkpoints to keep. */
  keep: number;
}

export const TRAIN_DEFAULTS = {
  range: null,
  validData: null,
  validRange: null,
  batch: 8,
  length: 512,
  accumulate: 1,
  steps: 1000,
  lr: 2e-3,
  schedule: 'wsd',
  warmup: 0.1,
  decay: 0.2,
  decayShape: 'sqrt',
  weightDecay: 0.1,
  decayRule: 'matrices',
  clip: 1,
  ratioWeight: 0.03,
  init: null,
  seed: 0,
  evalEvery: 100,
  evalBytes: 16384,
  saveEvery: 200,
  keep: 2,
} as const satisfies Partial<TrainSettings>;

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
  const problems: string[] = [];
  const stages = numStages(config);
  checkRatioTargets(settings.ratioTargets, config);
  if (settings.lrMultipliers.length !== stages + 1) problems.push(`learning-rate multipliers: expected ${stages + 1} (one per stage), got ${settings.lrMultipliers.length}`);
  if (settings.schedule === 'wsd' && settings.warmup + settings.decay > 1) problems.push(`warmup ${settings.warmup} and decay ${settings.decay} are more than the whole run`);
  if (!settings.data.length) problems.push('data: expected at least one file or folder');
  if (problems.length) throw new ConfigError(`[train] ${problems.join('; ')}.`);
}
