import { ConfigError, DataError } from '../errors.js';
import { Rng } from '../rng.js';
import type { ByteStore } from './byte-store.js';
import { Permutation } from './permutation.js';
import type { BatchSource, TrainBatch } from './types.js';

export interface ByteWindowsOptions {
  /** Targets of each row, L: a row holds L+1 ids. */
  length: number;
  /** Rows of a batch. */
  batch: number;
  /** Same seed, same data: same batches. Default 0. */
  seed?: number | undefined;
  /** Put before each window (H-Net: 254), so that a row is it and L bytes. Default: none; a row then is L+1 bytes, sharing one with the next window. */
  bos?: number | undefined;
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
 * Endless batches of windows of L+1 ids from a `ByteStore`. Which bytes batch n holds depends on the seed, the data and n only, so the
 * position is three numbers and memory does not grow with the data. A window never spans the end of the data; in shuffled order up to
 * L−1 bytes at either end of an epoch are left out, other ones each time.
 *
 * @throws DataError when the data is shorter than one window, or a file changes while it is read.
 * @example
 * const batches = new ByteWindows(await openByteFiles('texts', { extensions: ['.txt'] }), { length: 512, batch: 8, bos: 254 });
 * const { ids } = await batches.next(); // 8 rows of 513
 */
export class ByteWindows implements BatchSource {
  private readonly span: number;
  private readonly options: Required<Pick<ByteWindowsOptions, 'length' | 'batch' | 'seed' | 'order'>> & { bos: number | undefined };
  private epoch = 0;
  private next_ = 0;
  private plan: { epoch: number; offset: number; count: number; order: Permutation } | undefined;

  constructor(
    private readonly store: ByteStore,
    options: ByteWindowsOptions,
  ) {
    const { length, batch, seed = 0, bos, order = 'shuffled' } = options;
    for (const [name, value] of Object.entries({ length, batch })) {
      if (!Number.isInteger(value) || value < 1) throw new ConfigError(`[ByteWindows] ${name}: expected a whole number from 1, got ${value}.`);
    }
    this.options = { length, batch, seed, order, bos };
    this.span = bos === undefined ? length + 1 : length;
    if (store.size < this.span) {
      throw new DataError(`[ByteWindows] the data: expected at least one window of ${this.span} bytes, got ${store.size}. Hint: shorter windows or more text.`);
    }
  }

  /** Windows of the current epoch. */
  get windowsPerEpoch(): number {
    return this.current().count;
  }

  /** Epochs begun before the current one. */
  get epochs(): number {
    return this.epoch;
  }

  async next(): Promise<TrainBatch> {
    const { length, batch, bos } = this.options;
    const row = length + 1;
    const ids = new Int32Array(batch * row);
    let { epoch, next_: next } = this;
    for (let b = 0; b < batch; b++) {
      if (next >= this.planOf(epoch).count) {
        epoch++;
        next = 0;
      }
      const { offset, order } = this.planOf(epoch);
      const index = this.options.order === 'shuffled' ? order.at(next) : next;
      if (bos !== undefined) ids[b * row] = bos;
      await this.store.read(offset + index * length, this.span, ids, b * row + row - this.span);
      next++;
    }
    // Only now: after a failed read the same batch can be asked for again.
    this.epoch = epoch;
    this.next_ = next;
    return { ids, batch, length: row };
  }

  state(): Position {
    return { epoch: this.epoch, next: this.next_, seed: this.options.seed, fingerprint: this.describe() };
  }

  restore(state: unknown): void {
    const { epoch, next, seed, fingerprint } = (state ?? {}) as Position;
    if (!Number.isInteger(epoch) || !Number.isInteger(next)) throw new DataError('[ByteWindows] the stored position is not one of this data set. Hint: resume with the same kind of data.');
    if (fingerprint !== this.describe() || seed !== this.options.seed) {
      throw new DataError(
        `[ByteWindows] the data is not the one this position belongs to: expected ${fingerprint}, seed ${seed}; got ${this.describe()}, seed ${this.options.seed}. ` +
          'Hint: resume with the same files, window, batch and seed, or start a new run.',
      );
    }
    this.epoch = epoch;
    this.next_ = next;
  }

  close(): Promise<void> {
    return this.store.close();
  }

  private describe(): string {
    const { length, batch, bos, order } = this.options;
    return `${this.store.fingerprint}; ${batch} x ${length}, ${order}${bos === undefined ? '' : `, BOS ${bos}`}`;
  }

  private current() {
    return this.planOf(this.epoch);
  }

  private planOf(epoch: number) {
    if (this.plan?.epoch === epoch) return this.plan;
    const { length, seed, order } = this.options;
    const rng = new Rng(seed).fork(`epoch ${epoch}`);
    const offset = order === 'shuffled' ? rng.nextInt(Math.min(length, this.store.size - this.span + 1)) : 0;
    const count = Math.floor((this.store.size - this.span - offset) / length) + 1;
    return (this.plan = { epoch, offset, count, order: new Permutation(count, rng) });
  }
}
