import type { TensorSource } from '@bytelm/core/io';
import type { BLTConfig, EntropyModelConfig, StackConfig } from '../config/index.js';

/**
 * The configuration with the MLPs' widths of the tensors: files leave them out, or state a rule that their weights do not follow.
 * @param view Names of the original.
 */
export function withFfnOf(config: BLTConfig, view: Pick<TensorSource, 'has' | 'info'>): BLTConfig {
  const own = (stack: StackConfig, at: string) => widthOf(stack, view, at);
  return { ...config, encoder: own(config.encoder, 'local_encoder.'), global: own(config.global, 'global_transformer.'), decoder: own(config.decoder, 'local_decoder.') };
}

export const withEntropyFfnOf = (config: EntropyModelConfig, view: Pick<TensorSource, 'has' | 'info'>): EntropyModelConfig => widthOf(config, view, '');

function widthOf<S extends StackConfig>(stack: S, view: Pick<TensorSource, 'has' | 'info'>, at: string): S {
  const name = `${at}layers.0.feed_forward.w1.weight`;
  const width = view.has(name) ? view.info(name).shape[0] : undefined;
  return width ? { ...stack, dIntermediate: width } : stack;
}
