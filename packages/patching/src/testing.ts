import { Embedding, LinearHead, Rng, SequenceLM } from '@bytelm/core';
import { transformerStack } from '@bytelm/latent-transformer';

/** A tiny byte language model with a sliding window, as entropy models have. Random weights large enough for entropies to differ. */
export function tinyEntropyModel({ windowSize = 5, documentEnds = [] as number[], vocabSize = 260, seed = 3 } = {}): SequenceLM {
  const rng = new Rng(seed);
  const dModel = 16;
  return new SequenceLM(
    {
      embed: new Embedding({ vocabSize, dModel, initStd: 1 }, rng.fork('embed')),
      backbone: transformerStack({ dModel, numLayers: 2, numHeads: 2, windowSize, dIntermediate: 32, initStd: 0.3 }, rng.fork('stack')),
      head: new LinearHead({ vocabSize, dModel, initStd: 0.4 }, rng.fork('head')),
    },
    { documentEnds },
  );
}
