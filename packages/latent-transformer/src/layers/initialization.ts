import { ConfigError } from '@bytelm/core';

/** What BLT divides its standard deviations by: 1; √(2(layer + 1)); √(2(layers + 1)); width / 4096. */
export type InitStdFactor = 'disabled' | 'current_depth' | 'global_depth' | 'dim_ratio';

/**
 * Standard deviations of one BLT layer's weights, drawn from a normal that is cut at three of them: width^-½ / f, and for the MLP's last
 * matrix (its input's width)^-½ / f.
 *
 * @source `init_weights` of facebookresearch/blt (arXiv 2412.09871).
 */
export function depthInit(
  where: { dModel: number; dIntermediate: number; layer: number; numLayers: number },
  factor: InitStdFactor = 'disabled',
): { initStd: number; outInitStd: number; downInitStd: number; initCut: number } {
  const { dModel, dIntermediate, layer, numLayers } = where;
  const divisors = { disabled: 1, current_depth: Math.sqrt(2 * (layer + 1)), global_depth: Math.sqrt(2 * (numLayers + 1)), dim_ratio: dModel / 4096 };
  const f = divisors[factor];
  if (f === undefined) throw new ConfigError(`[depthInit] initStdFactor: expected one of ${Object.keys(divisors).join(', ')}, got ${JSON.stringify(factor)}.`);
  const std = dModel ** -0.5 / f;
  return { initStd: std, outInitStd: std, downInitStd: (dIntermediate || dModel) ** -0.5 / f, initCut: 3 };
}
