import { HierarchicalLM, HierarchicalStage } from '@bytelm/core';
import { ChunkLayer, DeChunkLayer, ratioLosses, RoutingModule } from '@bytelm/dynamic-chunking';
import { transformerStack } from '@bytelm/latent-transformer';
import { mamba2Stack } from '@bytelm/mamba2';
import type { Material } from '../swap.js';

/** Patches of a patch, as learned chunks should be. */
const PATCHES_PER_CHUNK = 1.5;

/** A BLT whose main network is an H-Net over patches: bytes → patches by entropy → chunks of patches by a learned router. */
export function hnetMainInBLT({ parts, options }: HierarchicalLM, { rng, straightThrough }: Material): HierarchicalLM {
  const { dModel } = parts.main;
  const main = new HierarchicalStage({
    encoder: mamba2Stack({ dModel, nLayers: 1, dState: 32 }, rng.fork('encoder')),
    chunker: new RoutingModule({ dModel }),
    downsample: new ChunkLayer(),
    main: transformerStack({ dModel, numLayers: 2, numHeads: 4, dIntermediate: 2 * dModel }, rng.fork('main')),
    upsample: new DeChunkLayer({ dModel, straightThrough }, rng.fork('upsample')),
    decoder: mamba2Stack({ dModel, nLayers: 1, dState: 32 }, rng.fork('decoder')),
  });
  return new HierarchicalLM({ ...parts, main }, { ...options, auxiliaryLoss: ratioLosses([PATCHES_PER_CHUNK]) });
}
