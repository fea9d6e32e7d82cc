import { cosine, linearWarmup, wsd, type DecayShape, type Schedule } from '@bytelm/core/train';
import { ConfigError } from '@bytelm/core';
import type { BackendChoice } from '../cli/shared-options.js';
import type { ByteRange } from '../cli/values.js';

/** What decides what a run computes, whatever the model; kept with its own settings as `run.json`, so that a run can be resumed and repeated. */
export interface RunSettings {
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
  /** Highest learning rate, before multipliers. */
  lr: number;
  schedule: 'wsd' | 'cosine' | 'constant';
  /** Shares of the run. */
  warmup: number;
  decay: number;
  decayShape: DecayShape;
  weightDecay: number;
  /** Largest global gradient norm; 0: no limit. */
  clip: number;
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

export const RUN_DEFAULTS = {
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
  clip: 1,
  init: null,
  seed: 0,
  evalEvery: 100,
  evalBytes: 16384,
  saveEvery: 200,
  keep: 2,
} as const satisfies Partial<RunSettings>;

/** Learning rate by update. */
export function scheduleOf(settings: RunSettings): Schedule {
  const { lr: peak, steps, warmup, decay, decayShape } = settings;
  if (settings.schedule === 'cosine') return cosine({ peak, steps, warmup });
  if (settings.schedule === 'constant') return linearWarmup({ peak, warmupSteps: Math.round(warmup * steps) });
  return wsd({ peak, steps, warmup, decay, shape: decayShape });
}

/**
 * @param more Problems that the kind of model adds.
 * @throws ConfigError listing everything that is wrong with the settings.
 */
export function checkRunSettings(settings: RunSettings, more: readonly string[] = []): void {
  const problems = [...more];
  if (settings.schedule === 'wsd' && settings.warmup + settings.decay > 1) problems.push(`warmup ${settings.warmup} and decay ${settings.decay} are more than the whole run`);
  if (!settings.data.length) problems.push('data: expected at least one file or folder');
  if (problems.length) throw new ConfigError(`[train] ${problems.join('; ')}.`);
}
