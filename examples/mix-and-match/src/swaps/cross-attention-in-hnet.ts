import { HierarchicalLM, ResidualStack, type Rng, type SequenceModel } from '@bytelm/core';
import { CrossAttentionBlock, CrossAttentionDecoder, CrossAttentionPool, CrossAttentionUnpool } from '@bytelm/latent-transformer';
import type { Material } from '../swap.js';

const NUM_HEADS = 2;

/** An H-Net whose chunk is pooled from all of its bytes by cross-attention, not the vector of one of them. One query, so that it is as wide. */
export function crossAttentionPoolInHNet({ parts, options }: HierarchicalLM, { rng }: Material): HierarchicalLM {
  const downsample = new CrossAttentionPool({ dModel: parts.encoder.dModel, numHeads: NUM_HEADS, queriesPerChunk: 1 }, rng.fork('pool'));
  return new HierarchicalLM({ ...parts, downsample }, options);
}

/**
 * Both ways, which takes three objects: in BLT bytes read their chunk inside the decoder's layers, so the way back is an upsampler that adds
 * nothing and a decoder that attends. The router's own matrices then learn from the ratio loss alone (see `routingInBLT`).
 */
export function crossAttentionInHNet(hnet: HierarchicalLM, material: Material): HierarchicalLM {
  const { parts, options } = crossAttentionPoolInHNet(hnet, material);
  const { encoder, main, decoder } = parts;
  return new HierarchicalLM(
    { ...parts, upsample: new CrossAttentionUnpool({ dModel: encoder.dModel }), decoder: readingDecoder(decoder as ResidualStack, main, material.rng.fork('decoder')) },
    options,
  );
}

/** The decoder's own layers, each behind one that attends to chunks. */
function readingDecoder({ dModel, blocks }: ResidualStack, main: SequenceModel, rng: Rng): CrossAttentionDecoder {
  const layers = blocks.flatMap((block, i) => [new CrossAttentionBlock({ dModel, numHeads: NUM_HEADS, slotsPerChunk: 1 }, rng.fork(`${i}`)), block]);
  const names = blocks.flatMap((_, i) => [`cross_attn_layers.${i}`, `layers.${i}`]);
  return new CrossAttentionDecoder(new ResidualStack(layers, { names: { layers: names } }), { dMemory: main.dOut ?? main.dModel, slotsPerChunk: 1 }, rng);
}
