import { ConfigError } from '@bytelm/core';

/** Changed frequencies for contexts longer than those trained on. */
export type RotaryScaling =
  /** All angles divided by `factor` (position interpolation). */
  | { type: 'linear'; factor: number }
  /** Llama 3.1: wave lengths above `originalMaxPositions / lowFreqFactor` are stretched by `factor`, those below `… / highFreqFactor` kept, blended between. */
  | { type: 'llama3'; factor: number; lowFreqFactor: number; highFreqFactor: number; originalMaxPositions: number }
  /**
   * YaRN: pairs that turn more than `betaFast` times (default 32) within `originalMaxPositions` are kept, those below `betaSlow` turns
   * (default 1) stretched by `factor`, blended between; rotated queries and keys are multiplied by `attentionFactor` (default 0.1 ln factor + 1).
   */
  | { type: 'yarn'; factor: number; originalMaxPositions: number; betaFast?: number | undefined; betaSlow?: number | undefined; attentionFactor?: number | undefined };

type Yarn = Extract<RotaryScaling, { type: 'yarn' }>;

/** @throws ConfigError for an unknown type or numbers that make no sense. */
export function checkRotaryScaling(scaling: RotaryScaling): void {
  const problems: string[] = [];
  const positive = (names: readonly string[]) => {
    for (const name of names) {
      const n = (scaling as unknown as Record<string, unknown>)[name];
      if (!(typeof n === 'number' && n > 0 && n < Infinity)) problems.push(`${name}: expected a positive number, got ${String(n)}`);
    }
  };
  if (scaling.type === 'linear') positive(['factor']);
  else if (scaling.type === 'llama3') {
    positive(['factor', 'lowFreqFactor', 'highFreqFactor', 'originalMaxPositions']);
    if (!(scaling.highFreqFactor > scaling.lowFreqFactor)) problems.push(`highFreqFactor ${scaling.highFreqFactor} is not above lowFreqFactor ${scaling.lowFreqFactor}`);
  } else if (scaling.type === 'yarn') {
    positive(['factor', 'originalMaxPositions', ...(['betaFast', 'betaSlow', 'attentionFactor'] as const).filter((n) => scaling[n] !== undefined)]);
  } else problems.push(`expected type 'linear', 'llama3' or 'yarn', got ${JSON.stringify((scaling as { type: unknown }).type)}`);
  if (problems.length) throw new ConfigError(`[RotaryEmbedding] scaling: ${problems.join('; ')}.`);
}

/** Scaled frequencies, and the factor of cosines and sines. */
export function scaleFrequencies(plain: Float64Array, theta: number, scaling: RotaryScaling): Float64Array {
  switch (scaling.type) {
    case 'linear':
      return plain.map((f) => f / scaling.factor);
    case 'llama3': {
      const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling;
      return plain.map((f) => {
        const turns = (originalMaxPositions * f) / (2 * Math.PI);
        const kept = Math.min(1, Math.max(0, (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor)));
        return kept * f + ((1 - kept) * f) / factor;
      });
    }
    case 'yarn':
      return yarn(plain, theta, scaling);
  }
}

/** @source Peng et al., arXiv 2309.00071; rounding and clipping of the blend's ends as in transformers. */
function yarn(plain: Float64Array, theta: number, { factor, originalMaxPositions, betaFast = 32, betaSlow = 1 }: Yarn): Float64Array {
  const width = 2 * plain.length;
  /** The pair, as a fraction, that turns so many times within the original length. */
  const pairOf = (turns: number) => (width * Math.log(originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const clip = (n: number) => Math.min(width - 1, Math.max(0, n));
  const low = clip(Math.floor(pairOf(betaFast)));
  const high = clip(Math.ceil(pairOf(betaSlow)));
  // Ends that coincide would divide by zero.
  const span = high === low ? 0.001 : high - low;
  return plain.map((f, i) => {
    const stretched = Math.min(1, Math.max(0, (i - low) / span));
    return f * (1 - stretched) + (f / factor) * stretched;
  });
}

/** Factor of the cosines and sines. */
export function rotaryAmplitude(scaling: RotaryScaling | undefined): number {
  if (scaling?.type !== 'yarn') return 1;
  return scaling.attentionFactor ?? (scaling.factor > 1 ? 0.1 * Math.log(scaling.factor) + 1 : 1);
}

/**
 * `rope_scaling` or `rope_parameters` of a published `config.json`, as it is.
 *
 * @param maxPositions its `max_position_embeddings`, taken for a missing `original_max_position_embeddings`.
 * @returns `undefined` where nothing is scaled (absent, null, type 'default').
 * @throws ConfigError for types that are not supported.
 */
export function parseRotaryScaling(published: Record<string, unknown> | null | undefined, maxPositions?: number): RotaryScaling | undefined {
  const type = published?.rope_type ?? published?.type;
  if (!published || type === undefined || type === null || type === 'default') return undefined;
  const number = (name: string) => (published[name] ?? undefined) as number | undefined;
  const factor = number('factor')!;
  const originalMaxPositions = (number('original_max_position_embeddings') ?? maxPositions)!;
  const scaling = {
    linear: { type: 'linear', factor },
    llama3: { type: 'llama3', factor, lowFreqFactor: number('low_freq_factor')!, highFreqFactor: number('high_freq_factor')!, originalMaxPositions },
    yarn: { type: 'yarn', factor, originalMaxPositions, betaFast: number('beta_fast'), betaSlow: number('beta_slow'), attentionFactor: number('attention_factor') },
  }[type as string] as RotaryScaling | undefined;
  if (!scaling) throw new ConfigError(`[parseRotaryScaling] rope_type: expected 'default', 'linear', 'llama3' or 'yarn', got ${JSON.stringify(type)}.`);
  checkRotaryScaling(scaling);
  return scaling;
}
