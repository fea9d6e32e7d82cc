import { ConfigError, DataError, Rng } from '@bytelm/core';
import { Permutation, type BatchSource, type TrainBatch } from '@bytelm/core/train';
import type { TokenStore } from './token-store.js';

export interface TokenWindowsOptions {
  /** Targets of each row, L: a row holds L + 1 ids and shares one with the next window. */
  length: number;
  /** Rows of a batch. */
  batch: number;
  /** Same seed, same tokens: same batches. Default 0. */
  seed?: number | undefined;
  /** `shuffled` (default): every window once an epoch in a seeded order, cut at another offset each epoch. `sequential`: as stored. */
  order?: 'shuffled' | 'sequential' | undefined;
}

interface Position {
  epoch: number;
  /** Windows of this epoch already given out. */
  next: number;
  seed: number;
  fingerprint: string;
}

/**
 * Endless windows of token ids, each once an epoch. Which tokens row n holds depends on the seed, the tokens and n only. Two of them tell
 * windows of the same tokens that overlap in `span − stride` ids.
 * @throws DataError when there are fewer tokens than one window has.
 */
export class WindowOrder {
  private epoch = 0;
  private given = 0;
  private plan: { epoch: number; offset: number; count: number; order: Permutation } | undefined;
  private readonly fingerprint: string;

  constructor(
    private readonly store: TokenStore,
    private readonly where: string,
    private readonly options: { span: number; stride: number; seed: number; order: 'shuffled' | 'sequential' },
  ) {
    const { span, stride, order } = options;
    this.fingerprint = `${store.fingerprint}; windows of ${span} every ${stride}, ${order}`;
    if (store.size < span) throw new DataError(`[${where}] expected at least one window of ${span} tokens, got ${store.size}. Hint: shorter rows or more text.`);
  }

  /** The next window's ids. */
  next(): Uint16Array | Uint32Array {
    if (this.given >= this.planOf(this.epoch).count) {
      this.epoch++;
      this.given = 0;
    }
    const { offset, order } = this.planOf(this.epoch);
    const index = this.options.order === 'shuffled' ? order.at(this.given) : this.given;
    this.given++;
    const start = offset + index * this.options.stride;
    return this.store.ids.subarray(start, start + this.options.span);
  }

  /** Windows of an epoch. */
  get count(): number {
    return this.planOf(this.epoch).count;
  }

  state(): Position {
    return { epoch: this.epoch, next: this.given, seed: this.options.seed, fingerprint: this.fingerprint };
  }

  restore(state: unknown): void {
    const { epoch, next, seed, fingerprint } = (state ?? {}) as Position;
    if (!Number.isInteger(epoch) || !Number.isInteger(next)) throw new DataError(`[${this.where}] the stored position is not one of tokens. Hint: resume with the same kind of data.`);
    if (fingerprint !== this.fingerprint || seed !== this.options.seed) {
      throw new DataError(`[${this.where}] the tokens are not those this position belongs to: expected ${fingerprint}, seed ${seed}; got ${this.fingerprint}, seed ${this.options.seed}. Hint: resume with the same text, tokenizer, rows and seed, or start a new run.`);
    }
    this.epoch = epoch;
    this.given = next;
  }

  private planOf(epoch: number) {
    if (this.plan?.epoch === epoch) return this.plan;
    const { span, stride, seed, order } = this.options;
    const rng = new Rng(seed).fork(`epoch ${epoch}`);
    const room = this.store.size - span;
    const offset = order === 'shuffled' ? rng.nextInt(Math.min(stride, room + 1)) : 0;
    const count = Math.floor((room - offset) / stride) + 1;
    return (this.plan = { epoch, offset, count, order: new Permutation(count, rng) });
  }
}

/**
 * Batches of token ids, to train a subword model such as a teacher.
 * @throws ConfigError, DataError
 * @example
 * const batches = new TokenWindows(tokens, { length: 128, batch: 8 });
 */
export class TokenWindows implements BatchSource {
  private readonly windows: WindowOrder;

  constructor(
    store: TokenStore,
    private readonly options: TokenWindowsOptions,
  ) {
    const { length, batch, seed = 0, order = 'shuffled' } = options;
    checkCounts('TokenWindows', { length, batch });
    this.windows = new WindowOrder(store, 'TokenWindows', { span: length + 1, stride: length, seed, order });
  }

  async next(): Promise<TrainBatch> {
    const { length, batch } = this.options;
    const ids = new Int32Array(batch * (length + 1));
    for (let b = 0; b < batch; b++) ids.set(this.windows.next(), b * (length + 1));
    return { ids, batch, length: length + 1 };
  }

  state(): unknown {
    return this.windows.state();
  }

  restore(state: unknown): void {
    this.windows.restore(state);
  }
}

export function checkCounts(where: string, counts: Record<string, number>): void {
  const wrong = Object.entries(counts).flatMap(([name, n]) => (Number.isInteger(n) && n >= 1 ? [] : [`${name}: expected a whole number from 1, got ${n}`]));
  if (wrong.length) throw new ConfigError(`[${where}] ${wrong.join('; ')}.`);
}
