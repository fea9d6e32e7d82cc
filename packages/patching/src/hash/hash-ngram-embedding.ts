import { ConfigError, DataError, embedding, hostTensor, hostValues, Module, canReadSync, type ByteEmbedder, type OnDevice, type Rng, type SequenceContext } from '@bytelm/core';
import type { HostTensor, TensorSource } from '@bytelm/core/io';
import * as tf from '@tensorflow/tfjs-core';
import { hashNgramsOnHost } from '../kernels/hash-ngrams/limbs.js';
import { hashNgramsOp } from '../kernels/hash-ngrams/op.js';
import type { HashNgramAttrs } from '../kernels/hash-ngrams/attrs.js';
import { resolveConfig, type HashNgramEmbeddingConfig, type ResolvedConfig } from './embedding-config.js';
import { frozenSumOp } from './frozen-sum.js';
import { hashEmbedding } from './hash-embedding.js';
import { fileTable, memoryTable, type HostTable } from './host-table.js';
import { historyOf } from './hash-options.js';
import { ngramsOnDevice } from './ngrams-on-device.js';
import { storedTables, type TableLayout } from './table-source.js';

/** The last bytes of each row, (B, max size − 1), zeros where it has none yet. */
export interface HashNgramState {
  last: Int32Array;
}

export interface LoadTablesOptions extends TableLayout {
  /** Rows stay in the file and are read when needed (`file`, Node, safetensors), or are kept in memory as stored. Default `memory`. */
  keep?: 'file' | 'memory' | undefined;
  /** Kept in memory: F32 rows rounded to bf16, or every bit. Default `stored`. */
  as?: 'stored' | 'bf16' | undefined;
}

/**
 * Byte embedding plus hash n-gram embeddings: `E[id] + Σ_tables E_hash[hash of the last n ids]`, a plain sum. Exact across prefill pieces and
 * steps: the state holds the last ids of each row. Hashes cross document borders, as those of the published models do.
 *
 * Parameters: `names.bytes` (vocabSize, D) and, stored on the device, `names.table(t)` (vocabularySize, D) for each function and size; a table
 * beyond what the backend binds at a time has its rows in pieces `names.table(t).0`, `.1`, ….
 * @throws ConfigError for a bad configuration; DataError for an id outside the vocabulary.
 * @source Byte Latent Transformer (arXiv 2412.09871), section 3.2.1, as facebookresearch/blt computes it.
 * @example
 * const embed = new HashNgramEmbedding({ dModel: 256, vocabularySize: 50002, sizes: [3, 4, 5, 6, 7, 8] }, new Rng(1));
 * const y = embed.forward(ids, new SequenceContext(batch, length, { ids: values })); // (B, L, D)
 */
export class HashNgramEmbedding extends Module implements ByteEmbedder<HashNgramState> {
  readonly config: ResolvedConfig;
  readonly dModel: number;
  readonly numTables: number;
  readonly weight: tf.Variable;
  /** Of each table its pieces; empty for tables on the host. */
  readonly tables: readonly (readonly tf.Variable[])[];
  /** Of tables that are there. */
  readonly onDevice: OnDevice<tf.Tensor1D, tf.Tensor2D, HashNgramState> | undefined;
  private hostTables: HostTable[] | undefined;
  private readonly history: number;

  /** @param rng Without it parameters are zeros. Tables on the host are always loaded. */
  constructor(config: HashNgramEmbeddingConfig, rng?: Rng) {
    super();
    this.config = resolveConfig(config);
    const { dModel, vocabSize, sizes, numFunctions, names, storage } = this.config;
    this.dModel = dModel;
    this.numTables = sizes.length * numFunctions;
    this.history = historyOf(this.config);
    const initial = (rows: number) => (rng ? rng.normal([rows, dModel], dModel ** -0.5, 3) : tf.zeros([rows, dModel]));
    this.weight = this.addParameter(names.bytes, initial(vocabSize));
    const onDevice = storage === 'device' ? this.numTables : 0;
    this.tables = Array.from({ length: onDevice }, (_, t) => [...this.pieces(t)].map(([name, rows]) => this.addParameter(name, initial(rows))));
    if (onDevice) this.onDevice = ngramsOnDevice({ bytes: this.weight, tables: this.tables }, this.attrs(this.history));
  }

  get names(): ResolvedConfig['names'] {
    return this.config.names;
  }

  /** Parameter names of a table's pieces, in order, and their rows. */
  *pieces(t: number): Generator<[name: string, rows: number]> {
    const { vocabularySize: V, pieceRows, names } = this.config;
    if (V <= pieceRows) return yield [names.table(t), V];
    for (let first = 0, p = 0; first < V; first += pieceRows, p++) yield [`${names.table(t)}.${p}`, Math.min(pieceRows, V - first)];
  }

  /**
   * Gives an embedding with storage `host` its tables. The source must stay open with keep `file`; closing it is up to the caller.
   * @throws CheckpointError, ShapeError when the file does not hold them.
   */
  async loadTables(source: TensorSource, options: LoadTablesOptions = {}): Promise<void> {
    if (this.config.storage !== 'host') throw new ConfigError("[HashNgramEmbedding] loadTables is for storage 'host'. Hint: loadParameters, with `tableSource` for a fused matrix.");
    const { keep = 'memory', as } = options;
    const tables: HostTable[] = [];
    for (const stored of storedTables(this, options)) {
      tables.push(keep === 'file' ? fileTable(source, stored, this.dModel) : await memoryTable(source, stored, this.dModel, { as }));
    }
    this.hostTables = tables;
  }

  /** Bytes of memory that tables on the host take. */
  get hostBytes(): number {
    return this.hostTables?.reduce((n, t) => n + t.bytesInMemory, 0) ?? 0;
  }

  /** Values of one table, pieces joined, (V, D): for checkpoints of other layouts. */
  async readTable(t: number): Promise<HostTensor> {
    const { vocabularySize: V, storage } = this.config;
    const values = new Float32Array(V * this.dModel);
    if (storage === 'host') for (let row = 0; row < V; row++) this.loadedTables()[t]!.addRow(row, values, row * this.dModel);
    let at = 0;
    for (const piece of this.tables[t] ?? []) {
      values.set(await piece.data(), at);
      at += piece.size;
    }
    return { dtype: 'float32', shape: [V, this.dModel], values };
  }

  forward(ids: tf.Tensor2D, ctx: SequenceContext): tf.Tensor3D {
    const host = this.hostIds(ids, ctx);
    if (host) this.checkIds(host, ids.shape[1]);
    return this.embed(ids, ids, host, 0);
  }

  initState(batchSize: number): HashNgramState {
    return { last: new Int32Array(batchSize * this.history) };
  }

  prefill(ids: tf.Tensor2D, state: HashNgramState, ctx: SequenceContext): { y: tf.Tensor3D; state: HashNgramState } {
    const H = this.history;
    const [B, L] = ids.shape;
    const host = this.hostIds(ids, ctx);
    if (!host) throw new DataError('[HashNgramEmbedding] prefill needs the ids on the host, and this backend cannot read synchronously. Hint: new SequenceContext(batch, length, { ids }).');
    this.checkIds(host, L);
    const all = new Int32Array(B * (H + L));
    const last = new Int32Array(B * H);
    for (let b = 0; b < B; b++) {
      const row = all.subarray(b * (H + L), (b + 1) * (H + L));
      row.set(state.last.subarray(b * H, (b + 1) * H));
      row.set(host.subarray(b * L, (b + 1) * L), H);
      const end = ctx.lengths?.[b] ?? L;
      last.set(row.subarray(end, end + H), b * H);
    }
    const y = tf.tidy(() => this.embed(ids, tf.tensor2d(all, [B, H + L], 'int32'), all, H));
    return { y, state: { last } };
  }

  step(ids: Int32Array, state: HashNgramState, rows?: readonly number[]): { y: tf.Tensor2D; state: HashNgramState } {
    const [R, H] = [ids.length, this.history];
    this.checkIds(ids, 1);
    const all = new Int32Array(R * (H + 1));
    for (let i = 0; i < R; i++) {
      const at = (rows ? rows[i]! : i) * H;
      all.set(state.last.subarray(at, at + H), i * (H + 1));
      all[i * (H + 1) + H] = ids[i]!;
      state.last.set(all.subarray(i * (H + 1) + 1, (i + 1) * (H + 1)), at);
    }
    const quick = this.stepOnHost(ids, all);
    if (quick) return { y: quick, state };
    const y = tf.tidy(() => {
      const now = tf.tensor2d(ids, [R, 1], 'int32');
      if (this.config.storage === 'host') return tf.reshape(this.embed(now, now, all, H), [R, this.dModel]) as tf.Tensor2D;
      // One position: hashing on the host costs less than a dispatch.
      const buckets = tf.tensor3d(hashNgramsOnHost(all, [R, H + 1], this.attrs(H)), [this.numTables, R, 1], 'int32');
      return tf.reshape(hashEmbedding(now, buckets, { bytes: this.weight, tables: this.tables }), [R, this.dModel]) as tf.Tensor2D;
    });
    return { y, state };
  }

  /** Where tables are on the host anyway: rows are looked up and added without any op. */
  private stepOnHost(ids: Int32Array, all: Int32Array): tf.Tensor2D | undefined {
    const [R, D] = [ids.length, this.dModel];
    if (this.config.storage === 'host') return undefined;
    return hostTensor<tf.Tensor2D>([R, D], (out) => {
      const buckets = hashNgramsOnHost(all, [R, this.history + 1], this.attrs(this.history));
      const bytes = hostValues(this.weight)!;
      for (let i = 0; i < R; i++) out.set(bytes.subarray(ids[i]! * D, (ids[i]! + 1) * D), i * D);
      this.tables.forEach((pieces, t) => {
        const tables = pieces.map((p) => hostValues(p)!);
        for (let i = 0; i < R; i++) {
          const row = buckets[t * R + i]!;
          const piece = Math.floor(row / this.config.pieceRows);
          const from = (row - piece * this.config.pieceRows) * D;
          for (let d = 0; d < D; d++) out[i * D + d]! += tables[piece]![from + d]!;
        }
      });
    });
  }

  /**
   * @param ids (B, L). @param all (B, history + L) the same behind what came before them. @param host values of `all`, where they are known.
   */
  private embed(ids: tf.Tensor2D, all: tf.Tensor2D, host: Int32Array | undefined, history: number): tf.Tensor3D {
    const attrs = this.attrs(history);
    if (this.config.storage === 'device') {
      return tf.tidy(() => hashEmbedding(ids, hashNgramsOp({ ids: all }, attrs)[0]!, { bytes: this.weight, tables: this.tables }));
    }
    if (!host) throw new DataError("[HashNgramEmbedding] tables with storage 'host' need the ids on the host. Hint: new SequenceContext(batch, length, { ids }).");
    const [B, L] = ids.shape;
    const shape = [B, L + history] as const;
    return tf.tidy(() => {
      const sum = tf.tensor3d(this.sumOnHost(hashNgramsOnHost(host, shape, attrs), B * L), [B, L, this.dModel]);
      return frozenSumOp({ x: embedding(this.weight, ids), fromHost: sum }, {})[0] as tf.Tensor3D;
    });
  }

  /** buckets (T, N) → (N, D). */
  private sumOnHost(buckets: Int32Array, count: number): Float32Array {
    const out = new Float32Array(count * this.dModel);
    this.loadedTables().forEach((table, t) => {
      for (let n = 0; n < count; n++) table.addRow(buckets[t * count + n]!, out, n * this.dModel);
    });
    return out;
  }

  private loadedTables(): HostTable[] {
    if (!this.hostTables) throw new ConfigError("[HashNgramEmbedding] the tables with storage 'host' are not loaded yet. Hint: await embedding.loadTables(await openSafetensors(path)).");
    return this.hostTables;
  }

  private attrs(history: number): HashNgramAttrs {
    const { sizes, numFunctions, vocabularySize } = this.config;
    return { sizes, numFunctions, vocabularySize, history };
  }

  private hostIds(ids: tf.Tensor2D, ctx: SequenceContext): Int32Array | undefined {
    return ctx.ids ?? (canReadSync() ? (ids.dataSync() as Int32Array) : undefined);
  }

  private checkIds(ids: Int32Array, length: number): void {
    const { vocabSize } = this.config;
    for (let i = 0; i < ids.length; i++) {
      if (!(ids[i]! >= 0 && ids[i]! < vocabSize)) {
        throw new DataError(`[HashNgramEmbedding] id ${ids[i]} at row ${Math.floor(i / length)}, position ${i % length}: expected 0..${vocabSize - 1}. Hint: check the tokenizer and vocabSize.`);
      }
    }
  }
}
