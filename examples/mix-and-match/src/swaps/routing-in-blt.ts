import { HierarchicalLM } from '@bytelm/core';
import { DeChunkLayer, ratioLosses, RoutingModule } from '@bytelm/dynamic-chunking';
import type { Material } from '../swap.js';

/**
 * A BLT that cuts where its encoder's vectors turn, as an H-Net does. Probabilities reach the loss through the upsampler, and BLT's has no use
 * for them (its decoder starts from the encoder's vectors and attends to patches): cross-entropy moves the router through nothing but the
 * encoder that it shares, and its own two matrices learn from the ratio loss alone.
 */
export function routingInBLT({ parts, options }: HierarchicalLM, { ratioTarget }: Material): HierarchicalLM {
  const chunker = new RoutingModule({ dModel: parts.encoder.dModel });
  return new HierarchicalLM({ ...parts, chunker }, { ...options, auxiliaryLoss: ratioLosses([ratioTarget]) });
}

/**
 * With H-Net's upsampler, which weighs each chunk by the router's probability, cross-entropy reaches the router. The decoder starts from the
 * smoothed chunks and attends to the patches as before. One object more.
 */
export function routingAndSmoothingInBLT(blt: HierarchicalLM, material: Material): HierarchicalLM {
  const { parts, options } = routingInBLT(blt, material);
  const { straightThrough, rng } = material;
  const { encoder, main } = parts;
  return new HierarchicalLM({ ...parts, upsample: new DeChunkLayer({ dModel: encoder.dModel, dMain: main.dOut, straightThrough }, rng) }, options);
}
