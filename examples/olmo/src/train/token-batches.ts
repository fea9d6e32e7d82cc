import { ByteWindows, type ByteStore, type TrainBatch } from '@bytelm/core/train';
import type { SubwordTokenizer } from '@bytelm/distill';
import { count, createProgress } from '@bytelm/example-shared/cli';
import { openText, type OpenBatches, type RunSettings } from '@bytelm/example-shared/train';
import type { SourceConfig } from '../config.js';
import { startToken } from '../source.js';
import { cachedTokens } from './cached-tokens.js';

export interface TokenData {
  tokenizer: SubwordTokenizer;
  config: SourceConfig;
  /** Folder where the tokens of the text are kept. */
  cache: string;
}

export interface TokenBatches extends OpenBatches {
  /** Tokens of a row. */
  length: number;
}

/**
 * The batches of a run over tokens: each row is the token that begins texts and then as many tokens as `length` bytes of this text have on
 * average. The tokens of the whole text are kept in memory, 4 bytes each, and in a file for the next start.
 */
export async function openTokenBatches(settings: RunSettings, { tokenizer, config, cache }: TokenData): Promise<TokenBatches> {
  const { train, valid, ranges } = await openText(settings);
  const bytes = await bytesOf(train).finally(() => train.close());
  const progress = createProgress({ total: bytes.length, unit: 'character' });
  const tokens = await cachedTokens(bytes, tokenizer, settings.data.join(', '), {
    folder: cache,
    onProgress: (done) => progress.update(done, 'cut into tokens'),
    onWarning: (message) => progress.log(`warning: ${message}`),
  });
  progress.stop();
  const bytesPerToken = bytes.length / tokens.length;
  const length = Math.max(1, Math.round(settings.length / bytesPerToken));
  process.stderr.write(`${count(tokens.length)} tokens of ${bytesPerToken.toFixed(2)} bytes; ${length} in a row\n`);
  const bos = startToken(config, tokenizer);
  const { batch, seed } = settings;
  const batches = new ByteWindows(tokenStore(tokens), { length, batch, seed, bos });
  const sizes = Uint16Array.from({ length: tokenizer.vocabulary.size }, (_, id) => (tokenizer.vocabulary.has(id) ? tokenizer.toBytes([id]).length : 0));
  return {
    batches,
    length,
    valid,
    ranges,
    bytesOf: (b) => targetBytes(b, sizes),
    close: () => batches.close(),
  };
}

/** Tokens as a store of ids. */
function tokenStore(tokens: Int32Array): ByteStore {
  let hash = 0x811c9dc5;
  for (const t of tokens) hash = Math.imul(hash ^ t, 0x01000193);
  return {
    size: tokens.length,
    fingerprint: `${tokens.length} tokens ${(hash >>> 0).toString(16)}`,
    read: async (start, n, out, at) => out.set(tokens.subarray(start, start + n), at),
    close: async () => {},
  };
}

function targetBytes({ ids, batch, length }: TrainBatch, sizes: Uint16Array): number {
  let bytes = 0;
  for (let b = 0; b < batch; b++) for (let t = 1; t < length; t++) bytes += sizes[ids[b * length + t]!]!;
  return bytes;
}

async function bytesOf(store: ByteStore): Promise<Uint8Array> {
  const out = new Uint8Array(store.size);
  const block = new Int32Array(Math.min(store.size, 1 << 20));
  for (let at = 0; at < out.length; at += block.length) {
    const n = Math.min(block.length, out.length - at);
    await store.read(at, n, block, 0);
    for (let i = 0; i < n; i++) out[at + i] = block[i]!;
  }
  return out;
}
