import { ConfigError, DataError, Embedding, Module, type ByteEmbedder, type OnDevice, type Rng, type SequenceContext } from '@bytelm/core';
import { BOLMO_VOCABULARY } from '@bytelm/distill';
import * as tf from '@tensorflow/tfjs-core';
import { suffixOnDevice } from './suffix-on-device.js';
import type { SuffixTrie } from './suffix-trie.js';

const { numIds } = BOLMO_VOCABULARY;
/** Marks ends of subwords in the published tokenizer. The models never see it, and no entry holds it: it is passed over. */
export const SUBWORD_END = 3;

export interface SuffixEmbeddingConfig {
  dModel: number;
  /** Rows of the byte table [vocab_size], default 520. Only those of bytes are looked up: ids that end a patch are the same bytes. */
  vocabSize?: number;
  /** Rows of the subword table [subword_vocab_size]; 0: none. */
  subwordVocabSize: number;
  /** The subword vocabulary. Required with a subword table. */
  trie?: SuffixTrie | undefined;
}

/** The newest ids of every row, as far back as the longest subword reaches. */
export interface SuffixEmbeddingState {
  /** (B*depth) ring: the id at position t stands at t mod depth. */
  recent: Int16Array;
  /** (B) ids kept so far. */
  read: Int32Array;
}

/**
 * A byte's vector plus that of the longest subword that ends with it: what the source model knew about subwords is there from the start,
 * before any of them is complete.
 *
 *     e_t = byte_embedding[x_t] + subword_embedding[longest entry that ends at t]
 *
 * Keys: `byte_embedding.weight` (520, D), `subword_embedding.weight` (subwords, D).
 * @source Bolmo, arXiv 2512.15586, section 3.1.
 */
export class SuffixEmbedding extends Module implements ByteEmbedder<SuffixEmbeddingState> {
  readonly dModel: number;
  readonly bytes: Embedding;
  readonly subwords: Embedding | undefined;
  readonly trie: SuffixTrie | undefined;
  /** With a table of subwords. */
  readonly onDevice: OnDevice<tf.Tensor1D, tf.Tensor2D, SuffixEmbeddingState> | undefined;
  private readonly depth: number;

  /** @throws ConfigError when there is a subword table without a vocabulary, or one with more entries than rows. */
  constructor({ dModel, vocabSize = 2 * numIds, subwordVocabSize, trie }: SuffixEmbeddingConfig, rng?: Rng) {
    super();
    this.dModel = dModel;
    this.bytes = this.addModule('byte_embedding', new Embedding({ vocabSize, dModel, initStd: 0.02 }, rng?.fork('bytes')));
    this.depth = trie?.depth ?? 1;
    if (!subwordVocabSize) return;
    if (!trie) throw new ConfigError('[SuffixEmbedding] a table of subwords needs the subword vocabulary. Hint: the tokenizer.json of the source model, SuffixTrie.fromVocabulary.');
    if (trie.size > subwordVocabSize) throw new ConfigError(`[SuffixEmbedding] the subword vocabulary has ${trie.size} entries, the table ${subwordVocabSize} rows. Hint: take the tokenizer that the model was made with.`);
    this.trie = trie;
    this.subwords = this.addModule('subword_embedding', new Embedding({ vocabSize: subwordVocabSize, dModel, initStd: 0.02 }, rng?.fork('subwords')));
    this.onDevice = suffixOnDevice(trie, this.bytes.weight, this.subwords.weight);
  }

  /** (B*L) for each real position the longest entry that ends there; 0 at padding. Ids that end a patch count as their byte. */
  expand(ids: ArrayLike<number>, { batch, length, lengths }: Pick<SequenceContext, 'batch' | 'length' | 'lengths'>, state = this.initState(batch)): Int32Array {
    const out = new Int32Array(batch * length);
    for (let b = 0; b < batch; b++) {
      const real = lengths?.[b] ?? length;
      for (let t = 0; t < real; t++) out[b * length + t] = this.next(ids[b * length + t]!, b, state);
    }
    return out;
  }

  forward(_: tf.Tensor2D, ctx: SequenceContext): tf.Tensor3D {
    return this.look(ctx, this.initState(ctx.batch));
  }

  initState(batchSize: number): SuffixEmbeddingState {
    return { recent: new Int16Array(batchSize * this.depth), read: new Int32Array(batchSize) };
  }

  prefill(_: tf.Tensor2D, state: SuffixEmbeddingState, ctx: SequenceContext): { y: tf.Tensor3D; state: SuffixEmbeddingState } {
    return { y: this.look(ctx, state), state };
  }

  step(ids: Int32Array, state: SuffixEmbeddingState, rows?: readonly number[]): { y: tf.Tensor2D; state: SuffixEmbeddingState } {
    const bytes = this.bytes.step(ids.map((id) => id % numIds)).y;
    if (!this.subwords) return { y: bytes, state };
    const subwords = this.subwords.step(ids.map((id, i) => this.next(id, rows ? rows[i]! : i, state))).y;
    const y = tf.add(bytes, subwords) as tf.Tensor2D;
    tf.dispose([bytes, subwords]);
    return { y, state };
  }

  private look(ctx: SequenceContext, state: SuffixEmbeddingState): tf.Tensor3D {
    const { ids, batch, length } = ctx;
    if (!ids) throw new DataError('[SuffixEmbedding] `ctx.ids` is missing: subwords are looked up on the host. Hint: new SequenceContext(batch, length, { ids }).');
    return tf.tidy(() => {
      const tensor = (values: Int32Array) => tf.tensor2d(values, [batch, length], 'int32');
      const bytes = this.bytes.forward(tensor(ids.map((id) => id % numIds)));
      return this.subwords ? tf.add(bytes, this.subwords.forward(tensor(this.expand(ids, ctx, state)))) : bytes;
    });
  }

  /** Appends one id to a row, and finds what ends with it. */
  private next(id: number, row: number, { recent, read }: SuffixEmbeddingState): number {
    if (!this.trie) return 0;
    const { depth } = this;
    const byte = id % numIds;
    if (byte !== SUBWORD_END) recent[row * depth + (read[row]!++ % depth)] = byte;
    const t = read[row]! - 1;
    return this.trie.longest((steps) => (steps < depth && steps <= t ? recent[row * depth + ((t - steps) % depth)]! : -1));
  }
}
