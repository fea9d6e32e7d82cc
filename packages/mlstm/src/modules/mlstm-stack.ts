import { ResidualStack, type Rng } from '@bytelm/core';
import { MLSTMBlock, type MLSTMBlockConfig } from './mlstm-block.js';

export interface MLSTMStackConfig extends MLSTMBlockConfig {
  nLayers: number;
  /** Of the norm at the end [local_rms_norm_eps], default 1e-5. */
  finalNormEps?: number | undefined;
  /** Keys of the blocks and of the norm at the end, or no norm. Default as in Bolmo's local encoder. */
  names?: NonNullable<ConstructorParameters<typeof ResidualStack>[1]>['names'];
}

/**
 * `nLayers` mLSTM blocks and a final norm, a `SequenceModel`: (B, L, D) → (B, L, D).
 * Keys: `layers.{i}.…` as in `MLSTMBlock`, `post_last_block_norm.weight`.
 *
 * @throws ConfigError
 * @example
 * const encoder = mlstmStack({ dModel: 256, nLayers: 1 }, new Rng(1));
 */
export function mlstmStack({ nLayers, finalNormEps = 1e-5, names, ...config }: MLSTMStackConfig, rng?: Rng): ResidualStack {
  const blocks = Array.from({ length: nLayers }, (_, i) => new MLSTMBlock(config, rng?.fork(`layer ${i}`)));
  return new ResidualStack(blocks, { names: { norm: 'post_last_block_norm', ...names }, eps: finalNormEps });
}
