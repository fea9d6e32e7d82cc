import { createHash } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openSafetensors, saveSafetensors } from '@bytelm/core/io';
import type { SubwordTokenizer } from '@bytelm/distill';
import { tokensOfText } from './tokens-of-text.js';

export interface CachedTokensOptions {
  /** Where tokens are kept. `null`: nowhere. */
  folder: string | null;
  onProgress?: ((characters: number, total: number) => void) | undefined;
  /** Told when kept tokens are damaged, or cannot be written. Neither ends a run. */
  onWarning?: ((message: string) => void) | undefined;
}

/** Goes up when the same text and tokenizer are to give other tokens. */
const VERSION = 1;

/**
 * `tokensOfText`, once: the tokens are kept in a file that belongs to this very text and tokenizer (by their SHA-256), and read from there the
 * next time. A file that is damaged is made anew. It may be deleted at any time.
 * @param name For messages.
 * @throws DataError as `tokensOfText`.
 */
export async function cachedTokens(bytes: Uint8Array, tokenizer: SubwordTokenizer, name: string, { folder, onProgress, onWarning }: CachedTokensOptions): Promise<Int32Array> {
  const { fingerprint } = tokenizer;
  if (folder === null || fingerprint === undefined) return tokensOfText(bytes, tokenizer, name, onProgress);
  const key = createHash('sha256').update(`tokens ${VERSION} ${fingerprint} `).update(bytes).digest('hex');
  const file = join(folder, `tokens-${key.slice(0, 16)}.safetensors`);
  const known = await readTokens(file, key, tokenizer.vocabulary.size, onWarning);
  if (known) return known;
  const ids = tokensOfText(bytes, tokenizer, name, onProgress);
  try {
    mkdirSync(folder, { recursive: true });
    await saveSafetensors({ ids: { dtype: 'int32', shape: [ids.length], values: ids } }, file, { key, sha256: digest(ids) });
  } catch (e) {
    onWarning?.(`the tokens are not kept: ${(e as Error).message}`);
  }
  return ids;
}

async function readTokens(file: string, key: string, vocabSize: number, onWarning: CachedTokensOptions['onWarning']): Promise<Int32Array | undefined> {
  if (!existsSync(file)) return undefined;
  try {
    const source = await openSafetensors(file);
    try {
      const { values } = await source.read('ids');
      const { metadata } = source;
      const isWhole = values instanceof Int32Array && metadata.key === key && metadata.sha256 === digest(values) && values.every((id) => id >= 0 && id < vocabSize);
      if (isWhole) return values;
    } finally {
      await source.close();
    }
  } catch {
    // As good as not there.
  }
  onWarning?.(`${file} is damaged: the text is cut into tokens anew`);
  return undefined;
}

const digest = ({ buffer, byteOffset, byteLength }: Int32Array): string => createHash('sha256').update(new Uint8Array(buffer, byteOffset, byteLength)).digest('hex');
