import { DataError, type ByteVocabulary } from '@bytelm/core';

/** Do both number bytes and their begin and end alike? */
export const isSameVocabulary = (a: ByteVocabulary, b: ByteVocabulary): boolean => a.offset === b.offset && a.bos === b.bos && a.eos === b.eos;

/**
 * The same bytes and the same begin and end ids in another vocabulary.
 *
 * @throws DataError for a special id that the other one has not.
 */
export function translateIds(ids: Int32Array, from: ByteVocabulary, to: ByteVocabulary): Int32Array {
  if (isSameVocabulary(from, to)) return ids;
  return ids.map((id) => {
    if (id === from.bos) return to.bos;
    if (id === from.eos) return to.eos;
    const byte = id - from.offset;
    if (byte >= 0 && byte <= 255) return byte + to.offset;
    // Padding and other special ids: the first ones of a vocabulary, where both have them.
    if (id >= 0 && id < from.offset && id < to.offset) return id;
    throw new DataError(`[translateIds] id ${id}: it is neither a byte nor known to the other vocabulary. Hint: leave it out of the texts.`);
  });
}
