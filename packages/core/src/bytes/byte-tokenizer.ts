import { ConfigError } from '../errors.js';

/** How a family of models numbers bytes and special symbols. */
export interface ByteVocabulary {
  /** id = byte + offset. */
  offset: number;
  vocabSize: number;
  bos: number;
  eos: number;
}

/** `hnet`: ids are bytes, BOS 0xFE and EOS 0xFF (neither occurs in UTF-8). `blt`: four special ids in front. */
export const BYTE_VOCABULARIES = {
  hnet: { offset: 0, vocabSize: 256, bos: 254, eos: 255 },
  blt: { offset: 4, vocabSize: 260, bos: 1, eos: 2 },
} as const satisfies Record<string, ByteVocabulary>;

/** Text ↔ ids. There is nothing to train: ids are UTF-8 bytes plus an offset. */
export class ByteTokenizer {
  readonly vocabulary: ByteVocabulary;

  constructor(vocabulary: keyof typeof BYTE_VOCABULARIES | ByteVocabulary) {
    const found = typeof vocabulary === 'string' ? BYTE_VOCABULARIES[vocabulary] : vocabulary;
    if (!found) throw new ConfigError(`[ByteTokenizer] unknown vocabulary '${String(vocabulary)}'. Hint: one of ${Object.keys(BYTE_VOCABULARIES).join(', ')}.`);
    this.vocabulary = found;
  }

  /** @param options.bos Put the begin-of-text id in front (default true).  @param options.eos Put the end id behind (default false). */
  encode(text: string | Uint8Array, { bos = true, eos = false }: { bos?: boolean; eos?: boolean } = {}): Int32Array {
    const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    const { offset } = this.vocabulary;
    const ids = new Int32Array(bytes.length + (bos ? 1 : 0) + (eos ? 1 : 0));
    let at = 0;
    if (bos) ids[at++] = this.vocabulary.bos;
    for (const b of bytes) ids[at++] = b + offset;
    if (eos) ids[at] = this.vocabulary.eos;
    return ids;
  }

  /** Bytes of the ids that are bytes; special ids are left out. */
  toBytes(ids: ArrayLike<number>): Uint8Array {
    const out: number[] = [];
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      if (id !== this.vocabulary.bos && id !== this.vocabulary.eos && id >= this.vocabulary.offset) out.push(id - this.vocabulary.offset);
    }
    return Uint8Array.from(out);
  }

  /** Text. @param options.errors Bytes that are not UTF-8: `'replace'` makes them U+FFFD (default), `'ignore'` leaves them out, as BLT's tokenizer does. */
  decode(ids: ArrayLike<number>, { errors = 'replace' }: { errors?: 'replace' | 'ignore' } = {}): string {
    const bytes = this.toBytes(ids);
    return errors === 'replace' ? new TextDecoder('utf-8', KEEP_BOM).decode(bytes) : decodeIgnoring(bytes);
  }
}

const KEEP_BOM = { ignoreBOM: true };
const REPLACEMENT = '\uFFFD';

/** A U+FFFD that stands in the text itself (EF BF BD) is kept: no other bytes around it can change how it is read. */
function decodeIgnoring(bytes: Uint8Array): string {
  const decoder = new TextDecoder('utf-8', KEEP_BOM);
  let text = '';
  for (let start = 0; start <= bytes.length; ) {
    let end = start;
    while (end < bytes.length && !(bytes[end] === 0xef && bytes[end + 1] === 0xbf && bytes[end + 2] === 0xbd)) end++;
    text += decoder.decode(bytes.subarray(start, end)).replaceAll(REPLACEMENT, '') + (end < bytes.length ? REPLACEMENT : '');
    start = end + 3;
  }
  return text;
}
