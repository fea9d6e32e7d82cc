import { ConfigError, DataError, Rng } from '@bytelm/core';
import { Permutation, type BatchSource, type TrainBatch } from '@bytelm/core/train';
import { patchBatch, type PatchRow } from './patch-rows.js';
import type { PatchSource } from './patch-source.js';

export interface WeightedSource {
  documents: PatchSource;
  /** How often rows come from here, in proportion to the others. Default 1. */
  weight?: number | undefined;
}

export interface PatchedDocumentsOptions {
  /** Patches of a row. The main network's batch is always batch x patches. */
  patches: number;
  /** Rows of a batch. */
  batch: number;
  /** Inputs of a row at most, bytes. */
  maxBytes: number;
  /** Make all batches `maxBytes` wide. */
  pad?: boolean | undefined;
  /** Same seed, same data: same batches. Default 0. */
  seed?: number | undefined;
  /** Rows that are shuffled at a time. Default 64. */
  buffer?: number | undefined;
}

interface Place {
  epoch: number;
  /** Documents of this epoch already used up. */
  document: number;
  /** Patches of the next one already used up. */
  patch: number;
}

interface Position {
  /** Rows given out of all sources. */
  rows: number;
  sources: { buffer: Place; buffers: number; given: number }[];
  seed: number;
  fingerprint: string;
}

/**
 * Endless batches of rows of exactly as many patches, with as many bytes as those have: documents are encoded BOS … EOS, patched one by
 * one, put one behind the other and cut every `patches` patches. Rows are shuffled within a buffer; each comes from a source drawn by weight.
 *
 * A position is where the buffers in use began, so memory holds one buffer of rows a source, whatever the data.
 *
 * @source BLT, arXiv 2412.09871, section 4; facebookresearch/blt (sequence, packing and sampling iterators).
 */
export class PatchedDocuments implements BatchSource {
  private readonly streams: RowStream[];
  private readonly weights: number[];
  private readonly seed: number;
  private rows = 0;

  /** @throws ConfigError */
  constructor(
    private readonly sources: readonly WeightedSource[],
    private readonly options: PatchedDocumentsOptions,
  ) {
    const { patches, batch, maxBytes, buffer = 64, seed = 0 } = options;
    const least = { patches: 2, batch: 1, maxBytes: 1, buffer: 1 };
    for (const [name, value] of Object.entries({ patches, batch, maxBytes, buffer })) {
      const from = least[name as keyof typeof least];
      if (!(Number.isInteger(value) && value >= from)) throw new ConfigError(`[PatchedDocuments] ${name}: expected a whole number from ${from}, got ${value}.`);
    }
    this.weights = sources.map((s) => s.weight ?? 1);
    if (!sources.length || this.weights.some((w) => !(w > 0 && Number.isFinite(w)))) throw new ConfigError(`[PatchedDocuments] expected sources with weights above 0, got ${this.weights.join(', ') || 'none'}.`);
    this.seed = seed;
    this.streams = sources.map((s, i) => new RowStream(s, { patches, buffer, rng: new Rng(seed).fork(`source ${i}`) }));
  }

  async next(): Promise<TrainBatch> {
    const rows: PatchRow[] = [];
    const before = this.state();
    try {
      for (let b = 0; b < this.options.batch; b++) rows.push(await this.streams[this.draw(this.rows++)]!.next());
      return patchBatch(rows, this.options);
    } catch (e) {
      // After a failed read the same batch can be asked for again.
      this.restore(before);
      throw e;
    }
  }

  state(): Position {
    return { rows: this.rows, sources: this.streams.map((s) => s.position()), seed: this.seed, fingerprint: this.describe() };
  }

  restore(state: unknown): void {
    const { rows, sources, seed, fingerprint } = (state ?? {}) as Position;
    if (!Number.isInteger(rows) || !Array.isArray(sources)) throw new DataError('[PatchedDocuments] the stored position is not one of this data set. Hint: resume with the same kind of data.');
    if (fingerprint !== this.describe() || seed !== this.seed) {
      throw new DataError(
        `[PatchedDocuments] the data is not the one this position belongs to: expected ${fingerprint}, seed ${seed}; got ${this.describe()}, seed ${this.seed}. ` +
          'Hint: resume with the same files, rows and seed, or start a new run.',
      );
    }
    this.rows = rows;
    this.streams.forEach((s, i) => s.restore(sources[i]!));
  }

  async close(): Promise<void> {
    for (const s of this.sources) await s.documents.close();
  }

  /** The source of row `n`. */
  private draw(n: number): number {
    if (this.weights.length === 1) return 0;
    let at = new Rng(this.seed).fork(`row ${n}`).next() * this.weights.reduce((a, b) => a + b, 0);
    return Math.max(0, this.weights.findIndex((w) => (at -= w) < 0));
  }

  private describe(): string {
    const { patches, batch, maxBytes, buffer = 64 } = this.options;
    return `${this.sources.map((s, i) => `${this.weights[i]} x (${s.documents.fingerprint})`).join(' + ')}; ${batch} x ${patches} patches, at most ${maxBytes} bytes, shuffled by ${buffer}`;
  }
}

/** Rows of one source, a shuffled buffer at a time. */
class RowStream {
  /** Where the buffer in use began, and where the next one begins. */
  private begin: Place = { epoch: 0, document: 0, patch: 0 };
  private end: Place = this.begin;
  /** Buffers filled before the one in use. */
  private buffers = 0;
  private given = 0;
  private rows: PatchRow[] | undefined;
  /** The document last patched. */
  private patched: { key: string; document: PatchRow } | undefined;
  private order: { epoch: number; permutation: Permutation } | undefined;

  constructor(
    private readonly source: WeightedSource,
    private readonly options: { patches: number; buffer: number; rng: Rng },
  ) {}

  async next(): Promise<PatchRow> {
    this.rows ??= await this.fill();
    if (this.given === this.rows.length) {
      this.begin = this.end;
      this.buffers++;
      this.given = 0;
      this.rows = await this.fill();
    }
    return this.rows[this.given++]!;
  }

  position(): Position['sources'][number] {
    return { buffer: { ...this.begin }, buffers: this.buffers, given: this.given };
  }

  restore({ buffer, buffers, given }: Position['sources'][number]): void {
    const same = buffers === this.buffers && this.rows !== undefined;
    this.begin = { ...buffer };
    this.buffers = buffers;
    this.given = given;
    if (!same) this.rows = undefined;
  }

  /** The rows from `begin` on, shuffled; the same whenever it is asked for. */
  private async fill(): Promise<PatchRow[]> {
    const { buffer, rng } = this.options;
    const rows: PatchRow[] = [];
    this.end = { ...this.begin };
    while (rows.length < buffer) rows.push(await this.row());
    const shuffle = rng.fork(`buffer ${this.buffers}`);
    for (let i = rows.length - 1; i > 0; i--) {
      const j = shuffle.nextInt(i + 1);
      [rows[i], rows[j]] = [rows[j]!, rows[i]!];
    }
    return rows;
  }

  /** The next `patches` patches behind `end`. */
  private async row(): Promise<PatchRow> {
    const at = this.end;
    const lengths: number[] = [];
    const parts: Int32Array[] = [];
    while (lengths.length < this.options.patches) {
      const { ids, lengths: all } = await this.document(at);
      const taken = all.slice(at.patch, at.patch + this.options.patches - lengths.length);
      const first = sum(all.slice(0, at.patch));
      parts.push(ids.subarray(first, first + sum(taken)));
      lengths.push(...taken);
      at.patch += taken.length;
      if (at.patch === all.length) {
        at.patch = 0;
        at.document++;
        if (at.document === this.source.documents.count) {
          at.document = 0;
          at.epoch++;
        }
      }
    }
    return { ids: Int32Array.from(parts.flatMap((part) => [...part])), lengths };
  }

  private async document({ epoch, document: place }: Place): Promise<PatchRow> {
    const key = `${epoch} ${place}`;
    if (this.patched?.key === key) return this.patched.document;
    const { documents } = this.source;
    if (this.order?.epoch !== epoch) this.order = { epoch, permutation: new Permutation(documents.count, this.options.rng.fork(`epoch ${epoch}`)) };
    const index = this.order.permutation.at(place);
    const document = await documents.document(index);
    const covered = sum(document.lengths);
    if (covered !== document.ids.length) {
      throw new DataError(`[PatchedDocuments] document ${index}: expected patches that sum to its ${document.ids.length} ids, BOS and EOS included, got ${covered}. Hint: were the patches prepared for another text?`);
    }
    this.patched = { key, document };
    return document;
  }
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
