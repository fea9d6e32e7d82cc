import type { HasParameters } from '@bytelm/core';
import { AdamW, groupParameters, type ParameterGroup } from '@bytelm/core/train';

/**
 * Which parameters decay towards zero.
 * - `matrices`: all but vectors (norms), byte embeddings and hash tables.
 * - `all`: every parameter, as the published code has it.
 */
export type DecayRule = 'matrices' | 'all';

export function decays(name: string, rank: number, rule: DecayRule): boolean {
  return rule === 'all' || (rank > 1 && !/(^|\.)tok_embeddings\.|^encoder_hash_tok_embedding\./.test(name));
}

export interface OptimizerSettings {
  weightDecay: number;
  decayRule: DecayRule;
  /** Multiplies the rate of the main network: 0.1 where it starts from a trained one (BLT, section 6). Default 1. */
  globalLr?: number;
}

/** Parameters by rate and decay. */
export function parameterGroups(model: HasParameters, { weightDecay, decayRule, globalLr = 1 }: OptimizerSettings): ParameterGroup[] {
  return groupParameters(model.parameters(), (name, variable) => ({
    lrMultiplier: name.startsWith('global_transformer.') ? globalLr : 1,
    weightDecay: decays(name, variable.rank, decayRule) ? weightDecay : 0,
  }));
}

/** AdamW with the published betas and epsilon. */
export const optimizerOf = (model: HasParameters, settings: OptimizerSettings): AdamW => new AdamW(parameterGroups(model, settings), { betas: [0.9, 0.95], eps: 1e-8 });
