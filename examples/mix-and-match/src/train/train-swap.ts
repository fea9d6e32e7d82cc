import { Rng } from '@bytelm/core';
import type { StepEvent } from '@bytelm/core/train';
import { continueText } from '@bytelm/example-shared/text';
import { openText, type RunSettings } from '@bytelm/example-shared/train';
import { EntropyPatcher } from '@bytelm/patching';
import { buildSwap } from '../build.js';
import { BASES, BYTES_PER_CHUNK } from '../sizes.js';
import type { Material, Swap } from '../swap.js';
import { measure, type Measured } from './measure.js';
import { trainModel } from './train-model.js';

const PROMPT = 'The ';
const SAMPLE_BYTES = 80;

/** What became of a swap. */
export interface TrainedSwap extends Measured {
  replaced: string[];
  cutByEntropies: boolean;
  parameters: number;
  /** Of training only. */
  seconds: number;
  /** Bits per byte of the first and the last training batch. */
  trainBits: [number, number];
  /** Written byte by byte, on cached states. */
  sample: string;
}

/** Builds a swap, trains it, evaluates it on the held-out text and lets it write. */
export async function trainSwap(swap: Swap, settings: RunSettings, entropy: Material['entropy'], onStep: (event: StepEvent) => void, signal?: AbortSignal): Promise<TrainedSwap> {
  const { seed, length, batch } = settings;
  const { model, vocabulary, replaced } = buildSwap(swap, BASES, { rng: new Rng(seed), entropy, ratioTarget: BYTES_PER_CHUNK, straightThrough: true });
  try {
    const bits: number[] = [];
    const begin = performance.now();
    await trainModel(
      model,
      vocabulary,
      settings,
      (event) => {
        bits.push(event.parts.crossEntropy! / Math.LN2);
        onStep(event);
      },
      signal,
    );
    const seconds = (performance.now() - begin) / 1000;
    const { train, valid } = await openText(settings);
    await train.close();
    const measured = await measure(model, valid, vocabulary, { window: length, batch });
    const sample = PROMPT + (await continueText(model, PROMPT, { vocabulary, maxBytes: SAMPLE_BYTES, temperature: 0.5, seed, signal }, () => {}));
    return { ...measured, replaced, cutByEntropies: model.parts.chunker instanceof EntropyPatcher, parameters: model.numParameters, seconds, trainBits: [bits[0]!, bits.at(-1)!], sample };
  } finally {
    model.dispose();
  }
}
