import type { ByteStore } from '@bytelm/core/train';
import type { EntropyModel } from '@bytelm/latent-transformer';
import { calibrateThreshold, type Calibration } from '@bytelm/patching';
import { openText } from '@bytelm/example-shared/train';
import type { PatchingConfig } from '../config/index.js';
import type { BLTTrainSettings } from './settings.js';

/** Bytes that a threshold is calibrated on, out of all parts of the text. */
const BYTES = 131_072;

/** The threshold that gives a mean patch length on a run's training text, cut into rows as the run will see them. */
export async function calibrateOn(model: EntropyModel, patching: PatchingConfig, settings: BLTTrainSettings, bytesPerPatch: number): Promise<Calibration> {
  const { train } = await openText(settings);
  return calibrateOnText(model, patching, train, settings.packing === 'windows' ? settings.length : settings.documentBytes, bytesPerPatch);
}

/** The same on a text in pieces of `pieceBytes`. Closes it. */
export async function calibrateOnText(model: EntropyModel, { monotonic, addThreshold, maxPatchLength }: PatchingConfig, train: ByteStore, pieceBytes: number, bytesPerPatch: number): Promise<Calibration> {
  try {
    const length = Math.min(train.size, pieceBytes);
    const count = Math.max(1, Math.min(Math.floor(BYTES / length), Math.floor(train.size / length)));
    const texts: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const ids = new Int32Array(length);
      await train.read(Math.floor((i * (train.size - length)) / Math.max(1, count - 1)), length, ids, 0);
      texts.push(Uint8Array.from(ids));
    }
    return await calibrateThreshold({ model, texts, targetBytesPerChunk: bytesPerPatch, monotonic, addThreshold, maxChunkLength: maxPatchLength });
  } finally {
    await train.close();
  }
}
