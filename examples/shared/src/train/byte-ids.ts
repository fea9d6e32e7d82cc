import type { ByteVocabulary } from '@bytelm/core';
import { ByteWindows, type ByteStore } from '@bytelm/core/train';
import { openText, type OpenBatches } from './open-data.js';
import type { RunSettings } from './run-settings.js';

/** A store whose ids are those of a vocabulary: byte + offset. */
export function byteIds(store: ByteStore, { offset }: Pick<ByteVocabulary, 'offset'>): ByteStore {
  if (!offset) return store;
  return {
    size: store.size,
    fingerprint: `${store.fingerprint} + ${offset}`,
    async read(start, count, out, at) {
      await store.read(start, count, out, at);
      for (let i = at; i < at + count; i++) out[i]! += offset;
    },
    close: () => store.close(),
  };
}

/** Windows of equal length out of a run's text, each behind a BOS. */
export async function openWindows(settings: RunSettings, vocabulary: ByteVocabulary): Promise<OpenBatches> {
  const { train, valid, ranges } = await openText(settings);
  const { length, batch, seed } = settings;
  try {
    const batches = new ByteWindows(byteIds(train, vocabulary), { length, batch, seed, bos: vocabulary.bos });
    return { batches, valid, ranges, close: () => train.close() };
  } catch (e) {
    await train.close();
    throw e;
  }
}
