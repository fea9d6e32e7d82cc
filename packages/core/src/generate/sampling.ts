import { ConfigError } from '../errors.js';
import type { Rng } from '../rng.js';

export interface SamplingOptions {
  /** Divides the logits; 0 takes the most likely id. Default 1. */
  temperature?: number | undefined;
  /** Keep the k most likely ids. */
  topK?: number | undefined;
  /** Keep ids while the mass of strictly better ones is below p (after top-k); at least one. */
  topP?: number | undefined;
}

/** @throws ConfigError listing every option out of range. */
export function checkSamplingOptions({ temperature, topK, topP }: SamplingOptions): void {
  const problems: string[] = [];
  if (temperature !== undefined && !(temperature >= 0 && Number.isFinite(temperature))) problems.push(`temperature ${temperature}: expected a number >= 0`);
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1)) problems.push(`topK ${topK}: expected a whole number >= 1`);
  if (topP !== undefined && !(topP > 0 && topP <= 1)) problems.push(`topP ${topP}: expected a number above 0, at most 1`);
  if (problems.length) throw new ConfigError(`[sample] ${problems.join('; ')}.`);
}

/**
 * The distribution that is sampled from: temperature, then top-k, then top-p on what top-k left, renormalised.
 * @param logits (V) of one position.
 * @returns (V) probabilities, zero for what was cut.
 */
export function filteredProbabilities(logits: ArrayLike<number>, { temperature = 1, topK, topP }: SamplingOptions = {}): Float64Array {
  const V = logits.length;
  const order = rank(logits);
  const probs = new Float64Array(V);
  if (temperature === 0) {
    probs[order[0]!] = 1;
    return probs;
  }
  const kept = order.slice(0, topK ?? V);
  const top = logits[kept[0]!]!;
  let total = 0;
  for (const id of kept) total += probs[id] = Math.exp((logits[id]! - top) / temperature);
  let remaining = 0;
  let before = 0;
  for (const id of kept) {
    const p = probs[id]! / total;
    if (topP !== undefined && before >= topP) probs[id] = 0;
    else remaining += probs[id]!;
    before += p;
  }
  for (const id of kept) probs[id]! /= remaining;
  return probs;
}

/** Ids from the most likely down; ties: lower id first. */
function rank(logits: ArrayLike<number>): number[] {
  return Array.from({ length: logits.length }, (_, i) => i).sort((a, b) => logits[b]! - logits[a]! || a - b);
}

/** The first id, from the most likely down, whose cumulative probability exceeds u in [0, 1). */
export function pick(probs: ArrayLike<number>, u: number): number {
  const order = rank(probs);
  let cumulative = 0;
  for (const id of order) {
    cumulative += probs[id]!;
    if (cumulative > u) return id;
  }
  return order.find((id) => probs[id]! > 0) ?? order[0]!;
}

/** Draws one id from the logits of one position. */
export function sample(logits: ArrayLike<number>, options: SamplingOptions, rng: Rng): number {
  if (options.temperature === 0) return argmax(logits);
  return pick(filteredProbabilities(logits, options), rng.next());
}

export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}
