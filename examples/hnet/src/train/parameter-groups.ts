import type { SequenceLM } from '@bytelm/core';
import { AdamW, groupParameters, type ParameterGroup } from '@bytelm/core/train';
import type { HNetConfig } from '../config.js';
import { stageOfParameter } from '../model.js';

/**
 * Which parameters decay towards zero.
 * - `matrices`: all but vectors (norms, biases, `A_log`, `D`, `dt_bias`, `pad_dimension`) and the embeddings.
 * - `published`: the test in the published training utilities, to the letter: all but names that end in `.bias` or contain `.norm.`, which
 *   lets `norm1`, `rmsnorm`, `dt_bias`, `A_log`, `D`, `pad_dimension` and embeddings decay.
 */
export type DecayRule = 'matrices' | 'published';

export function decays(name: string, rank: number, rule: DecayRule): boolean {
  if (rule === 'published') return !name.endsWith('.bias') && !name.includes('.norm.');
  return rank > 1 && name !== 'embeddings.weight';
}

export interface OptimizerSettings {
  /** One per stage, outermost first. */
  lrMultipliers: readonly number[];
  weightDecay: number;
  decayRule: DecayRule;
}

/** Parameters by stage and decay. */
export function hnetParameterGroups(model: SequenceLM, config: HNetConfig, settings: OptimizerSettings): ParameterGroup[] {
  return groupParameters(model.parameters(), (name, variable) => ({
    lrMultiplier: settings.lrMultipliers[stageOfParameter(name, config)]!,
    weightDecay: decays(name, variable.rank, settings.decayRule) ? settings.weightDecay : 0,
  }));
}

/** AdamW with GPT-3's betas (0.9, 0.95): the paper states none. */
export const hnetOptimizer = (model: SequenceLM, config: HNetConfig, settings: OptimizerSettings): AdamW =>
  new AdamW(hnetParameterGroups(model, config, settings), { betas: [0.9, 0.95], eps: 1e-8 });
