import { ConfigError, type Rng } from '@bytelm/core';

/**
 * How probabilities become boundaries, as published configurations write it: `sample:0` (above one half), `sample:1` (drawn), `topk:K` and
 * `topk_percent:P` (the K, or the share P, most likely positions of a row, ties included). `above:P` (above a probability of P) is in no published
 * one: a boundary too few costs a language model more than one too many, since the patch goes on over what its main network has not seen.
 */
export type BoundaryThreshold = 'sample:0' | `above:${number}` | 'sample:1' | `topk:${number}` | `topk_percent:${number}`;

/** Marks the boundaries of one row in `mask`, by its probabilities. */
export type DecideRow = (prob: Float32Array, mask: Uint8Array) => void;

/**
 * @param rng For `sample:1`. Each call draws on.
 * @throws ConfigError
 */
export function parseThreshold(threshold: string, rng?: Rng): DecideRow {
  const [kind, text] = threshold.split(':') as [string, string | undefined];
  const n = text ? Number(text) : NaN;
  const limit = kind === 'sample' && n === 0 ? 0.5 : kind === 'above' && n >= 0 && n < 1 ? n : undefined;
  if (limit !== undefined) return (p, mask) => p.forEach((v, t) => (mask[t] = v > limit ? 1 : 0));
  if (kind === 'sample' && n === 1) {
    if (!rng) throw new ConfigError("[BoundaryPredictor] threshold 'sample:1' draws boundaries. Hint: give an rng.");
    return (p, mask) => p.forEach((v, t) => (mask[t] = rng.next() < v ? 1 : 0));
  }
  if (kind === 'topk' && Number.isInteger(n) && n > 0) return (p, mask) => most(p, Math.min(1, n / p.length), mask);
  if (kind === 'topk_percent' && n > 0 && n <= 1) return (p, mask) => most(p, n, mask);
  throw new ConfigError(`[BoundaryPredictor] threshold: expected 'sample:0', 'sample:1', 'above:P' with P from 0 and below 1, 'topk:K' or 'topk_percent:P' with K from 1 and P up to 1, got '${threshold}'.`);
}

/** Positions at or above the (1 − share) quantile with linear interpolation: those from the order statistic behind it on. */
function most(p: Float32Array, share: number, mask: Uint8Array): void {
  const sorted = Float32Array.from(p).sort();
  // The index is a whole number up to rounding, or truly between two.
  const limit = sorted[Math.ceil((1 - share) * (p.length - 1) - 1e-9)]!;
  p.forEach((v, t) => (mask[t] = v >= limit ? 1 : 0));
}
