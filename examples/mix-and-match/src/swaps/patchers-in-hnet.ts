import { HierarchicalLM } from '@bytelm/core';
import { EntropyPatcher, SpacePatcher } from '@bytelm/patching';
import type { Material } from '../swap.js';

// A patcher is certain: H-Net's upsampler then repeats what the main network says, without smoothing and gate. A patch is represented by the
// encoder's vector at its last byte.

/** An H-Net that cuts where BLT would: before bytes that are hard to guess. */
export function entropyPatcherInHNet({ parts, options }: HierarchicalLM, { entropy }: Material): HierarchicalLM {
  // H-Net's ids are bytes, those of the entropy model bytes + 4.
  return new HierarchicalLM({ ...parts, chunker: new EntropyPatcher({ ...entropy, vocabulary: 'hnet', modelVocabulary: 'blt' }) }, options);
}

/** An H-Net that cuts behind spaces and the like: "H-Net (space)" of its paper. */
export function spacePatcherInHNet({ parts, options }: HierarchicalLM): HierarchicalLM {
  return new HierarchicalLM({ ...parts, chunker: new SpacePatcher({ vocabulary: 'hnet' }) }, options);
}
