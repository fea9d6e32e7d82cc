import { ConfigError } from '@bytelm/core';
import type { BatchSource } from '@bytelm/core/train';
import { byteRows, type ByteRows, type ByteRowsOptions } from '../alignment/byte-rows.js';
import type { ByteRowsBatch } from '../stages/stage.js';
import type { TokenStore } from './token-store.js';
import { checkCounts, WindowOrder, type TokenWindowsOptions } from './token-windows.js';

export interface TokenRowsOptions extends Omit<TokenWindowsOptions, 'length'>, Omit<ByteRowsOptions, 'maxPatches'> {
  /** Patches of a row, P: the begin symbol and P − 1 tokens. */
  patches: number;
}

/**
 * Batches for the stages of byteification: windows of P − 1 tokens as bytes that know their patches. Rows are as long as the longest of the
 * batch needs, or `maxBytes` (published: 6 P; whole tokens beyond are left out).
 *
 * @throws ConfigError, DataError
 * @example
 * const batches = new TokenRows(tokens, { vocabulary: tokenizer.vocabulary, patches: 64, batch: 8, seed: 1 });
 */
export class TokenRows implements BatchSource {
  private readonly windows: WindowOrder;

  constructor(
    store: TokenStore,
    private readonly options: TokenRowsOptions,
  ) {
    const { patches, batch, maxBytes, seed = 0, order = 'shuffled' } = options;
    checkCounts('TokenRows', { batch, ...(maxBytes !== undefined && { maxBytes }) });
    if (!(Number.isInteger(patches) && patches >= 2)) throw new ConfigError(`[TokenRows] patches: expected a whole number from 2 (the begin symbol is one), got ${patches}.`);
    this.windows = new WindowOrder(store, 'TokenRows', { span: patches - 1, stride: patches - 1, seed, order });
  }

  async next(): Promise<ByteRowsBatch> {
    const { batch, patches, ...options } = this.options;
    return batchOf(byteRows(Array.from({ length: batch }, () => this.windows.next()), { ...options, maxPatches: patches }));
  }

  /** Batches of an epoch, the last one perhaps with windows of the next. */
  get batchesPerEpoch(): number {
    return Math.ceil(this.windows.count / this.options.batch);
  }

  state(): unknown {
    return this.windows.state();
  }

  restore(state: unknown): void {
    this.windows.restore(state);
  }
}

/** Rows as a batch of the training loop, whose ids are those of the rows. */
export function batchOf(rows: ByteRows): ByteRowsBatch {
  const { ids, batch, length, lengths } = rows;
  return { ids, batch, length, lengths, rows };
}
