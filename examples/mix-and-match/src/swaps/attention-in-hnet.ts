import { HierarchicalLM, type Rng, type SequenceModel } from '@bytelm/core';
import { transformerStack } from '@bytelm/latent-transformer';
import type { Material } from '../swap.js';

/** Bytes a byte sees, its own not counted. */
const WINDOW = 63;

/** An H-Net whose encoder is a transformer with a window, as BLT's and SpaceByte's. */
export function attentionEncoderInHNet({ parts, options }: HierarchicalLM, { rng }: Material): HierarchicalLM {
  return new HierarchicalLM({ ...parts, encoder: attention(parts.encoder, rng) }, options);
}

/** The decoder, too: no Mamba-2 is left. */
export function attentionInHNet(hnet: HierarchicalLM, material: Material): HierarchicalLM {
  const { parts, options } = attentionEncoderInHNet(hnet, material);
  return new HierarchicalLM({ ...parts, decoder: attention(parts.decoder, material.rng.fork('decoder')) }, options);
}

const attention = ({ dModel }: SequenceModel, rng: Rng) => transformerStack({ dModel, numLayers: 2, numHeads: 2, windowSize: WINDOW }, rng);
