import { ConfigError, ResidualStack, type Rng } from '@bytelm/core';
import { TransformerBlock, type TransformerBlockConfig } from './transformer-block.js';

export interface LatentTransformerConfig extends Omit<TransformerBlockConfig, 'windowSize'> {
  numLayers: number;
  /** For all layers, or one for each. −1 (default): all earlier positions are seen. */
  windowSize?: number | readonly number[];
}

/**
 * Pre-norm causal transformer (B, L, D) → (B, L, D): a `SequenceModel` that can take the place of any encoder, decoder or main network.
 * Without `outInitStd` the last projections of the branches start smaller by the square root of the number of additions.
 *
 * Keys: `layers.{i}.…` of `TransformerBlock`, `rmsnorm.weight`.
 */
export class LatentTransformer extends ResidualStack {
  readonly config: Readonly<LatentTransformerConfig>;

  /** @throws ConfigError */
  constructor(config: LatentTransformerConfig, rng?: Rng) {
    const { numLayers, windowSize = -1, initStd = 0.02, dIntermediate = 0 } = config;
    const windows = typeof windowSize === 'number' ? Array.from({ length: numLayers }, () => windowSize) : windowSize;
    if (!(Number.isInteger(numLayers) && numLayers > 0) || windows.length !== numLayers) {
      throw new ConfigError(`[LatentTransformer] numLayers: expected a positive whole number and as many windows, got ${numLayers} and ${windows.length}.`);
    }
    const additions = numLayers * (dIntermediate > 0 ? 2 : 1);
    const outInitStd = config.outInitStd ?? initStd / Math.sqrt(additions);
    const blocks = windows.map((w, i) => new TransformerBlock({ ...config, windowSize: w, initStd, outInitStd }, rng?.fork(`layers.${i}`)));
    super(blocks, { eps: config.normEps ?? 1e-5 });
    this.config = config;
  }
}

/** A stack of transformer blocks, as a function like the stacks of the other packages. */
export function transformerStack(config: LatentTransformerConfig, rng?: Rng): LatentTransformer {
  return new LatentTransformer(config, rng);
}
