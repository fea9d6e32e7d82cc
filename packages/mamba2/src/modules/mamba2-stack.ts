import { ResidualStack, type Rng } from '@bytelm/core';
import type { Mamba2Config } from '../config.js';
import { Mamba2Block } from './mamba2-block.js';

export interface Mamba2StackConfig extends Mamba2Config {
  nLayers: number;
}

/**
 * `nLayers` pre-norm Mamba-2 blocks and a final norm, a `SequenceModel`: (B, L, D) → (B, L, D).
 * Keys: `layers.{i}.norm1.weight`, `layers.{i}.mixer.…`, `rmsnorm.weight`, as in H-Net.
 *
 * @throws ConfigError
 * @example
 * const encoder = mamba2Stack({ dModel: 256, nLayers: 4 }, new Rng(1));
 */
export function mamba2Stack({ nLayers, ...config }: Mamba2StackConfig, rng?: Rng): ResidualStack {
  const outInitScale = config.outInitScale ?? 1 / Math.sqrt(Math.max(1, nLayers));
  const blocks = Array.from({ length: nLayers }, (_, i) => new Mamba2Block({ ...config, outInitScale }, rng?.fork(`layer ${i}`)));
  return new ResidualStack(blocks, { eps: config.eps ?? 1e-5 });
}
