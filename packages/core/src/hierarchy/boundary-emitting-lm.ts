import * as tf from '@tensorflow/tfjs-core';
import { after } from '../backend/can-read-sync.js';
import type { MaybePromise } from '../contracts/index.js';
import { Segmentation } from '../contracts/segmentation.js';
import { SequenceContext, type StageRecord } from '../contracts/sequence-context.js';
import { ConfigError, DataError } from '../errors.js';
import { putRows } from '../module/rows.js';
import { cloneState, disposeState } from '../state.js';
import { HierarchicalLM, type HierarchicalLMOptions, type HierarchicalLMParts } from './hierarchical-lm.js';
import type { SequenceLMState } from './sequence-lm.js';
import type { HierarchicalStage, StageState } from './stage.js';

export interface BoundaryEmittingState extends SequenceLMState {
  /** (B, V) logits behind the last byte of each row: they say whether a byte that is given next ends a chunk. */
  last: tf.Tensor2D;
}

/**
 * A hierarchy whose head says with each byte whether a chunk ends behind it, so that the chunker may look at the byte that follows: in text
 * that is known (training, scoring, prompts) the chunker decides, while decoding the ids that are fed back do. An id below `boundaryFrom` is
 * a byte, the same plus `boundaryFrom` is that byte and the end of a chunk.
 *
 * The last byte of a prompt has nothing behind it. The head decides: whichever of the byte's two ids is likelier after the bytes before it.
 * A prompt is read in one piece; of several pieces the last byte of each is decided so.
 *
 * @source Bolmo, arXiv 2512.15586, section 3.1.2.
 */
export class BoundaryEmittingLM extends HierarchicalLM {
  override readonly boundaryFrom: number;

  /** @throws ConfigError when the head emits no boundaries, or the chunker looks further ahead than one byte. */
  constructor(parts: HierarchicalLMParts, options: HierarchicalLMOptions = {}) {
    super(parts, options);
    const { head, chunker } = parts;
    if (head.boundaryFrom === undefined || head.vocabSize !== 2 * head.boundaryFrom) {
      throw new ConfigError(`[BoundaryEmittingLM] head: expected ids for bytes and as many for bytes that end a chunk, got ${head.vocabSize} ids and boundaryFrom ${head.boundaryFrom}.`);
    }
    if (chunker.lookahead > 1) throw new ConfigError(`[BoundaryEmittingLM] chunker: expected a look-ahead of at most 1 byte, got ${chunker.lookahead}: only for the last byte of a prompt does the head decide.`);
    this.boundaryFrom = head.boundaryFrom;
  }

  /** Cross-entropy is on ids with boundaries: behind byte t + 1 a chunk ends where this pass had it end. */
  protected override headLabels(labels: Int32Array, records: readonly StageRecord[]): Int32Array {
    return this.fuseLabels(labels, records[0]!.segmentation);
  }

  /** Labels of bytes → labels of the fused vocabulary, by where chunks end. The last label of a row has no boundary: what follows it is not known. */
  fuseLabels(labels: Int32Array, { length, boundaryMask }: Segmentation): Int32Array {
    const known = (i: number) => labels[i]! >= 0;
    return labels.map((id, i) => (known(i) && (i + 1) % length && known(i + 1) && boundaryMask[i + 1] ? id + this.boundaryFrom : id));
  }

  override initState(batchSize: number): BoundaryEmittingState {
    return { ...super.initState(batchSize), last: tf.zeros([batchSize, this.vocabSize]) };
  }

  override step(
    ids: Int32Array,
    state: BoundaryEmittingState,
    rows?: readonly number[],
  ): MaybePromise<{ logits: tf.Tensor2D; state: BoundaryEmittingState; fired: Int8Array[] }> {
    return after(super.step(ids, state, rows), (out) => {
      const last = putRows(state.last, rows, out.logits);
      state.last.dispose();
      return { ...out, state: { ...out.state, last } };
    });
  }

  override startDocument(state: BoundaryEmittingState, rows: readonly number[]): BoundaryEmittingState {
    return { ...super.startDocument(state, rows), last: state.last };
  }

  override async prefill(ids: Int32Array, begun: BoundaryEmittingState, given: SequenceContext): Promise<{ logits: tf.Tensor3D; state: BoundaryEmittingState }> {
    const ctx = this.withDocuments(given.with({ ids }));
    const { batch: B, length: L } = ctx;
    const ends = Array.from({ length: B }, (_, b) => (ctx.lengths?.[b] ?? L) - 1);
    const going = ends.flatMap((end, b) => (end >= 0 ? [b] : []));
    if (!going.length) throw new DataError('[BoundaryEmittingLM.prefill] every row is empty. Hint: give at least one byte of one row.');
    let state: BoundaryEmittingState = { ...begun, backbone: this.startDocuments(begun, going) };
    if (state.ended) for (const b of going) state.ended[b] = 0;

    const known = await this.knownBoundaries(state, ctx, ends);
    const read = await this.readAllButLast(state, ctx, known, ends);
    const flat = tf.tidy(() => tf.concat([...(read.logits ? [tf.reshape(read.logits, [-1, this.vocabSize])] : []), state.last], 0)) as tf.Tensor2D;
    read.logits?.dispose();
    const pieceRows = B * (L - 1);
    const before = tf.tidy(() => tf.gather(flat, tf.tensor1d(going.map((b) => (ends[b]! > 0 ? b * (L - 1) + ends[b]! - 1 : pieceRows + b)), 'int32'))) as tf.Tensor2D;
    const fed = await this.decideLast(going.map((b) => ids[b * L + ends[b]!]!), before);
    before.dispose();

    const starting = going.filter((b) => ends[b]! > 0 && ctx.isStart(b, ends[b]!));
    state = { ...read.state, last: state.last };
    if (starting.length) state = this.startDocument(state, starting);
    const out = await this.step(fed, state, going.length === B ? undefined : going);
    const mask = known.boundaryMask.slice();
    for (const b of going) mask[b * L + ends[b]!] = out.fired[0]![b]!;
    const logits = tf.tidy(() => {
      const from = new Int32Array(B * L);
      going.forEach((b, r) => {
        for (let t = 0; t < ends[b]!; t++) from[b * L + t] = b * (L - 1) + t;
        from[b * L + ends[b]!] = flat.shape[0] + r;
      });
      return tf.reshape(tf.gather(tf.concat([flat, out.logits], 0), tf.tensor1d(from, 'int32')), [B, L, this.vocabSize]) as tf.Tensor3D;
    });
    tf.dispose([flat, out.logits]);
    given.record?.push({ segmentation: new Segmentation(B, L, mask, { drawnAt: known.drawnAt, continues: true }), context: given }, ...read.inner);
    return { logits, state: out.state };
  }

  /** What the chunker says about every byte that has one behind it; no boundary elsewhere. */
  private async knownBoundaries(state: BoundaryEmittingState, ctx: SequenceContext, ends: readonly number[]): Promise<Segmentation> {
    const idTensor = tf.tensor2d(this.checkedIds(ctx), [ctx.batch, ctx.length], 'int32');
    const embedded = this.embed.prefill(idTensor, cloneState(state.embed), ctx);
    const seg = await (this.backbone as HierarchicalStage).cutPiece(embedded.y, state.backbone as StageState, ctx);
    tf.dispose([idTensor, embedded.y]);
    disposeState(embedded.state);
    seg.dispose();
    const mask = seg.boundaryMask.map((m, i) => (i % ctx.length < ends[Math.floor(i / ctx.length)]! ? m : 0));
    return new Segmentation(ctx.batch, ctx.length, mask, { drawnAt: seg.drawnAt, continues: true });
  }

  /** Every row but for its last byte. */
  private async readAllButLast(
    state: BoundaryEmittingState,
    ctx: SequenceContext,
    { boundaryMask, drawnAt }: Segmentation,
    ends: readonly number[],
  ): Promise<{ logits?: tf.Tensor3D; state: SequenceLMState; inner: StageRecord[] }> {
    const { batch: B, length: L } = ctx;
    if (L === 1) return { state, inner: [] };
    const cut = <T extends Int32Array | Uint8Array>(values: T): T => values.filter((_, i) => (i + 1) % L) as T;
    const seg = new Segmentation(B, L - 1, cut(boundaryMask), { drawnAt, continues: true });
    const record: StageRecord[] = [];
    const ids = cut(ctx.ids!);
    const piece = new SequenceContext(B, L - 1, { ids, lengths: ends.map((n) => Math.max(0, n)), documentIds: ctx.documentIds && cut(ctx.documentIds), plan: [seg], record });
    const out = await super.prefill(ids, state, piece);
    seg.dispose();
    piece.dispose();
    return { ...out, inner: record.slice(1) };
  }

  /** Of both ids of each byte the likelier one: what greedy decoding would have emitted, had it come to this byte. */
  private async decideLast(bytes: readonly number[], logits: tf.Tensor2D): Promise<Int32Array> {
    const values = await logits.data();
    return Int32Array.from(bytes, (id, r) => {
      const at = r * this.vocabSize + (id % this.boundaryFrom);
      return values[at + this.boundaryFrom]! > values[at]! ? (id % this.boundaryFrom) + this.boundaryFrom : id % this.boundaryFrom;
    });
  }
}
