import * as tf from '@tensorflow/tfjs-core';
import { DataError } from '@bytelm/core';
import type { BatchSource } from '@bytelm/core/train';
import { patchCounts, type ByteRows } from '../alignment/byte-rows.js';
import { labelLogProbs } from '../likelihood/patch-likelihood.js';
import { mergesByFrequency, mergesByScore, type MergeList } from '../merging/merge-list.js';
import { compressionTarget, mergeRows } from '../merging/merge-rows.js';
import type { ByteRowsBatch } from '../stages/stage.js';
import type { Teacher } from '../stages/teacher.js';
import { batchOf } from './token-rows.js';

/** Which patches of each row merge first, over its tokens. */
export type MergeOrder = (rows: ByteRows) => readonly MergeList[] | Promise<readonly MergeList[]>;

export interface CompressedRowsOptions {
  /** Bytes per patch wanted in the first batch, e.g. those of the tokenizer (4.3). */
  start: number;
  /** Bytes per patch wanted after `steps` batches, and from then on. */
  target: number;
  steps: number;
  /** `frequency` (default): byte-pair merging within each row; or `scoreMerges` of an auxiliary model. */
  merges?: 'frequency' | MergeOrder | undefined;
}

/**
 * Batches of `TokenRows` with fewer and fewer boundaries: neighbouring patches are merged until a row has as many bytes per patch as are
 * wanted at that batch. With `Stage2` this is the stage for higher compression. How far it has come is part of its position.
 *
 * @source Bolmo, arXiv 2512.15586, section 5.1.
 * @example
 * const batches = new CompressedRows(rows, { start: 4.3, target: 8, steps: 1000 });
 */
export class CompressedRows implements BatchSource {
  private given = 0;

  constructor(
    private readonly batches: BatchSource,
    private readonly options: CompressedRowsOptions,
  ) {}

  /** Bytes per patch wanted of the next batch. */
  get bytesPerPatch(): number {
    return compressionTarget(this.given, this.options);
  }

  async next(): Promise<ByteRowsBatch> {
    const { rows } = (await this.batches.next()) as Partial<ByteRowsBatch>;
    if (!rows) throw new DataError('[CompressedRows] the batches have no `rows`. Hint: wrap TokenRows.');
    const { merges = 'frequency' } = this.options;
    const lists = merges === 'frequency' ? tokenRows(rows).map((ids) => mergesByFrequency(ids)) : await merges(rows);
    const thinned = mergeRows(rows, lists, this.bytesPerPatch);
    this.given++;
    return batchOf(thinned);
  }

  state(): unknown {
    return { given: this.given, batches: this.batches.state() };
  }

  restore(state: unknown): void {
    const { given, batches } = (state ?? {}) as { given: number; batches: unknown };
    if (!Number.isInteger(given)) throw new DataError('[CompressedRows] the stored position is not one of compressed rows. Hint: resume with the same kind of data.');
    this.batches.restore(batches);
    this.given = given;
  }

  async close(): Promise<void> {
    await this.batches.close?.();
  }
}

/**
 * What an auxiliary subword model finds easy to predict merges first. `entropy`: −H of the next token behind each token; `crossEntropy`: the
 * log-probability of the token that does come (behind a row's last token none does: its −H).
 */
export function scoreMerges(auxiliary: Teacher, kind: 'entropy' | 'crossEntropy'): MergeOrder {
  return async (rows) => {
    const { batch, patches, teacherIds } = rows;
    const lengths = tokenRows(rows).map((ids) => ids.length + 1);
    const both = tf.tidy(() => {
      const logits = auxiliary.read(teacherIds, { batch, length: patches, lengths }, { logits: true }).logits!;
      const logProbs = tf.logSoftmax(logits);
      const entropy = tf.sum(tf.mul(tf.exp(logProbs), logProbs), -1);
      const next = Int32Array.from(teacherIds, (_, i) => ((i + 1) % patches ? teacherIds[i + 1]! : -100));
      return tf.stack([kind === 'entropy' ? entropy : labelLogProbs(logits, tf.tensor2d(next, [batch, patches], 'int32')), entropy]);
    });
    const values = await both.data();
    both.dispose();
    return lengths.map((length, b) => {
      // Position p has read token p − 1; position 0 only the begin.
      const at = (p: number) => values[(p === length - 1 ? batch * patches : 0) + b * patches + p]!;
      return mergesByScore(Array.from({ length: length - 1 }, (_, i) => at(i + 1)));
    });
  };
}

/** The tokens of each row as the teacher reads them, without the begin. */
function tokenRows(rows: ByteRows): Int32Array[] {
  const { patches, teacherIds } = rows;
  return patchCounts(rows).map((count, b) => teacherIds.slice(b * patches + 1, b * patches + count));
}
