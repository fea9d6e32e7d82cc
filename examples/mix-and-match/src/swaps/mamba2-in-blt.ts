import { HierarchicalLM } from '@bytelm/core';
import { mamba2Stack } from '@bytelm/mamba2';
import type { Material } from '../swap.js';

/** A BLT whose patches are read by Mamba-2: a state of fixed size in place of a cache that grows. */
export function mamba2MainInBLT({ parts, options }: HierarchicalLM, { rng }: Material): HierarchicalLM {
  return new HierarchicalLM({ ...parts, main: mamba2Stack({ dModel: parts.main.dModel, nLayers: 3, dState: 32 }, rng) }, options);
}
