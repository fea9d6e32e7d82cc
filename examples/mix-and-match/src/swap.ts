import { HierarchicalLM, type HierarchicalLMParts, type Rng } from '@bytelm/core';
import type { EntropyModel } from '@bytelm/latent-transformer';

/** What swaps are made of besides the model they change. */
export interface Material {
  /** Draws the weights of new parts. */
  rng: Rng;
  /** Cuts text by entropies; ids as BLT numbers them. Belongs to the caller. */
  entropy: { model: EntropyModel; threshold: number };
  /** Wanted positions per chunk, where a swap brings a router. */
  ratioTarget: number;
  /** Routers learn through H-Net's confidence gate, too. Without it gradients are those of the forward pass. */
  straightThrough: boolean;
}

/** A model with a part, or a few, of another one. */
export interface Swap {
  name: string;
  base: 'hnet' | 'blt';
  /** For tables: what is new in it. */
  title: string;
  /** Puts the new parts in the place of the base's. */
  swap(base: HierarchicalLM, material: Material): HierarchicalLM;
}

type PartName = keyof HierarchicalLMParts;

/** The parts in which two models differ, in the order of the bytes' way through them. */
export function replacedParts(base: HierarchicalLM, swapped: HierarchicalLM): PartName[] {
  const order: PartName[] = ['embed', 'encoder', 'chunker', 'downsample', 'main', 'upsample', 'decoder', 'head'];
  return order.filter((part) => base.parts[part] !== swapped.parts[part]);
}

/** Frees what a base had and the swapped model does not use. */
export function disposeReplaced(base: HierarchicalLM, swapped: HierarchicalLM): void {
  const used = new Set(swapped.parameters().values());
  for (const variable of base.parameters().values()) if (!used.has(variable) && !variable.isDisposed) variable.dispose();
}
