import { BYTE_VOCABULARIES, ConfigError, HierarchicalLM, type ByteVocabulary } from '@bytelm/core';
import { createBLT, type BLTConfig } from '@bytelm/example-blt';
import { createHNet, type HNetConfig } from '@bytelm/example-hnet';
import { disposeReplaced, replacedParts, type Material, type Swap } from './swap.js';
import { SWAPS } from './swaps/index.js';

/** The two models that parts are swapped in. */
export interface Bases {
  hnet: HNetConfig;
  blt: BLTConfig;
}

/** A model out of parts of several. */
export interface Built {
  model: HierarchicalLM;
  vocabulary: ByteVocabulary;
  /** Which parts are not the base's. */
  replaced: string[];
}

/** @throws ConfigError for a name that is none. */
export function swapByName(name: string): Swap {
  const found = SWAPS.find((s) => s.name === name);
  if (!found) throw new ConfigError(`[mix-and-match] swap '${name}': expected one of ${SWAPS.map((s) => s.name).join(', ')}.`);
  return found;
}

/** The swapped model with initial weights; those of kept parts are the base's of the same seed. */
export function buildSwap({ base, swap }: Swap, bases: Bases, material: Material): Built {
  const model = base === 'hnet' ? hnetBase(bases.hnet, material) : bltBase(bases.blt, material);
  const swapped = swap(model, { ...material, rng: material.rng.fork('swap') });
  disposeReplaced(model, swapped);
  return { model: swapped, vocabulary: BYTE_VOCABULARIES[base], replaced: replacedParts(model, swapped) };
}

function hnetBase(config: HNetConfig, { rng, ratioTarget, straightThrough }: Material): HierarchicalLM {
  const model = createHNet(config, { rng: rng.fork('hnet'), ratioTargets: [ratioTarget], straightThrough });
  if (model instanceof HierarchicalLM) return model;
  throw new ConfigError('[mix-and-match] this H-Net has one stack only, there are no parts to swap.');
}

function bltBase(config: BLTConfig, { rng, entropy }: Material): HierarchicalLM {
  const patching = { ...config.patching, mode: 'entropy' as const, threshold: entropy.threshold };
  return createBLT({ ...config, patching }, { rng: rng.fork('blt'), entropyModel: entropy.model });
}

