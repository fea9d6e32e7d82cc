import { BYTE_VOCABULARIES, Rng } from '@bytelm/core';
import type { StepEvent } from '@bytelm/core/train';
import { createEntropyModel } from '@bytelm/example-blt';
import { openText, type RunSettings } from '@bytelm/example-shared/train';
import { calibrateThreshold, type Calibration } from '@bytelm/patching';
import { BYTES_PER_CHUNK, ENTROPY_MODEL } from '../sizes.js';
import type { Material } from '../swap.js';
import { trainModel } from './train-model.js';

/** Bytes of training text that the threshold is chosen on. */
const CALIBRATION_BYTES = 65_536;

/** An entropy model trained on the run's text, and the threshold with which it cuts that text into chunks of the wanted mean length. */
export async function entropyMaterial(settings: RunSettings, onStep: (event: StepEvent) => void, signal?: AbortSignal): Promise<{ entropy: Material['entropy']; calibration: Calibration }> {
  const model = createEntropyModel(ENTROPY_MODEL, { rng: new Rng(settings.seed).fork('entropy model') });
  await trainModel(model, BYTE_VOCABULARIES.blt, settings, onStep, signal);
  const calibration = await calibrateThreshold({ model, texts: await piecesOf(settings), targetBytesPerChunk: BYTES_PER_CHUNK });
  return { entropy: { model, threshold: calibration.threshold }, calibration };
}

/** Pieces as long as a row, out of all parts of the training text. */
async function piecesOf(settings: RunSettings): Promise<Uint8Array[]> {
  const { train } = await openText(settings);
  try {
    const length = Math.min(settings.length, train.size);
    const count = Math.max(1, Math.floor(Math.min(CALIBRATION_BYTES, train.size) / length));
    const pieces: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const ids = new Int32Array(length);
      await train.read(Math.floor((i * (train.size - length)) / Math.max(1, count - 1)), length, ids, 0);
      pieces.push(Uint8Array.from(ids));
    }
    return pieces;
  } finally {
    await train.close();
  }
}
