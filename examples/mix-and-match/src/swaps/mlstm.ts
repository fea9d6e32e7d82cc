import { HierarchicalLM } from '@bytelm/core';
import { mlstmStack } from '@bytelm/mlstm';
import type { Material } from '../swap.js';

/** An H-Net with Bolmo's local layers around its main network. */
export function mlstmInHNet({ parts, options }: HierarchicalLM, { rng }: Material): HierarchicalLM {
  const { dModel } = parts.encoder;
  const encoder = mlstmStack({ dModel, numHeads: 2, nLayers: 2 }, rng.fork('encoder'));
  const decoder = mlstmStack({ dModel, numHeads: 2, nLayers: 2 }, rng.fork('decoder'));
  return new HierarchicalLM({ ...parts, encoder, decoder }, options);
}

/** A BLT with Bolmo's local encoder. Without its norm at the end: BLT's decoder starts from the encoder's residual stream. */
export function mlstmEncoderInBLT({ parts, options }: HierarchicalLM, { rng }: Material): HierarchicalLM {
  const { dModel } = parts.encoder;
  return new HierarchicalLM({ ...parts, encoder: mlstmStack({ dModel, numHeads: 2, nLayers: 1, names: { norm: false } }, rng) }, options);
}
