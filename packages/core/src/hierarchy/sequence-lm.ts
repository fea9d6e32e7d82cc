import * as tf from '@tensorflow/tfjs-core';
import { after, canReadSync } from '../backend/can-read-sync.js';
import type { ByteEmbedder, ByteHead, ByteLM, MaybePromise, SequenceModel } from '../contracts/index.js';
import type { OnDevice } from '../contracts/on-device.js';
import type { Segmentation } from '../contracts/segmentation.js';
import { SequenceContext, type StageRecord } from '../contracts/sequence-context.js';
import { ConfigError, DataError } from '../errors.js';
import { Module, type HasParameters } from '../module/module.js';
import { checkTrainable } from '../module/weight-format.js';
import { crossEntropy } from '../ops/cross-entropy.js';
import type { LossAndGrads, TrainableModel, TrainBatch } from '../train/types.js';
import { lmOnDevice } from './lm-on-device.js';
import { firedByStage } from './stage.js';

export interface SequenceLMParts {
  embed: ByteEmbedder;
  backbone: SequenceModel;
  head: ByteHead;
}

/** Losses besides cross-entropy, from what the stages decided: named scalars, already weighted, all added to the total. */
export type AuxiliaryLoss = (records: readonly StageRecord[]) => Record<string, tf.Scalar>;

export interface SequenceLMOptions {
  /** Parameter prefixes; the published ones of the model at hand. */
  names?: { embed?: string; backbone?: string; head?: string };
  auxiliaryLoss?: AuxiliaryLoss | undefined;
  /**
   * Ids that end a document (BLT: EOS): nothing after one sees anything before it, in full passes and while decoding. A `ctx` with its own
   * `documentIds` overrides this. Default: none, a row is one document.
   */
  documentEnds?: readonly number[] | undefined;
}

export interface SequenceLMState {
  embed: unknown;
  backbone: unknown;
  /** (B) 1 where the last id ended a document. Only with `documentEnds`. */
  ended?: Uint8Array;
}

/** Embedding, a sequence model and a head: a byte language model. */
export class SequenceLM extends Module implements ByteLM<SequenceLMState>, TrainableModel {
  readonly embed: ByteEmbedder;
  readonly backbone: SequenceModel;
  readonly head: ByteHead;
  readonly vocabSize: number;
  readonly boundaryFrom: number | undefined;
  protected readonly auxiliaryLoss: AuxiliaryLoss | undefined;
  protected readonly documentEnds: ReadonlySet<number> | undefined;
  readonly onDevice: OnDevice<tf.Tensor1D, tf.Tensor2D, SequenceLMState> | undefined;

  constructor(parts: SequenceLMParts, options: SequenceLMOptions = {}) {
    super();
    const { embed = 'embed', backbone = 'backbone', head = 'head' } = options.names ?? {};
    if (parts.embed.dModel !== parts.backbone.dModel) {
      throw new ConfigError(`[SequenceLM] embedding has width ${parts.embed.dModel}, backbone ${parts.backbone.dModel}: they must be equal.`);
    }
    this.embed = this.addModule(embed, parts.embed);
    this.backbone = this.addModule(backbone, parts.backbone);
    this.head = this.addModule(head, parts.head as ByteHead & HasParameters);
    this.vocabSize = parts.head.vocabSize;
    this.boundaryFrom = parts.head.boundaryFrom;
    this.auxiliaryLoss = options.auxiliaryLoss;
    if (options.documentEnds?.length) this.documentEnds = new Set(options.documentEnds);
    this.onDevice = lmOnDevice(parts, options.documentEnds ?? []);
  }

  /** Differentiable, synchronous. Ids come from `ctx.ids`. (B, L) → (B, L, V). */
  forward(batch: SequenceContext): tf.Tensor3D {
    const ctx = this.withDocuments(batch);
    const ids = tf.tensor2d(this.checkedIds(ctx), [ctx.batch, ctx.length], 'int32');
    return this.head.forward(this.backbone.forward(this.embed.forward(ids, ctx), ctx)) as tf.Tensor3D;
  }

  /** Segmentations of every stage, for `forward` on backends that cannot read synchronously. Empty without stages. */
  async plan(batch: SequenceContext): Promise<Segmentation[]> {
    if (!this.backbone.plan) return [];
    const ctx = this.withDocuments(batch);
    const x = tf.tidy(() => this.embed.forward(tf.tensor2d(this.checkedIds(ctx), [ctx.batch, ctx.length], 'int32'), ctx));
    const plan = await this.backbone.plan(x, ctx);
    x.dispose();
    return plan;
  }

  logits(ids: Int32Array, ctx: SequenceContext): MaybePromise<tf.Tensor3D> {
    const run = (c: SequenceContext) => tf.tidy(() => this.forward(c));
    const own = ctx.with({ ids });
    if (own.plan || !this.backbone.plan || canReadSync()) return run(own);
    return this.plan(own).then((plan) => {
      const y = run(own.with({ plan }));
      if (!own.record) plan.forEach((s) => s.dispose());
      return y;
    });
  }

  /**
   * Differentiable loss: cross-entropy over real positions with a label, plus the auxiliary losses.
   * @param labels (B*L) host ids, −100 where nothing is predicted.
   */
  loss(labels: Int32Array, ctx: SequenceContext): { total: tf.Scalar; parts: Record<string, tf.Scalar>; records: StageRecord[] } {
    const records: StageRecord[] = [];
    const logits = this.forward(ctx.with({ record: records }));
    const rows = tf.reshape(logits, [-1, this.vocabSize]) as tf.Tensor2D;
    const ce = crossEntropy(rows, tf.tensor1d(this.headLabels(labels, records), 'int32')) as tf.Scalar;
    const parts: Record<string, tf.Scalar> = { crossEntropy: ce, ...this.auxiliaryLoss?.(records) };
    const total = Object.values(parts).reduce((a, b) => tf.add(a, b));
    return { total, parts, records };
  }

  /** The ids that the head is to give, by labels of bytes (B*L) and what the stages of this pass decided. */
  protected headLabels(labels: Int32Array, _records: readonly StageRecord[]): Int32Array {
    return labels;
  }

  /**
   * One forward and backward pass over a batch: row b predicts `ids[b, 1:]` from `ids[b, :-1]`. `parts` holds `crossEntropy` (nats per
   * byte), the auxiliary losses, and per stage `positionsPerChunk0`, … as numbers. The caller frees every tensor.
   */
  async lossAndGrads(batch: TrainBatch): Promise<LossAndGrads> {
    checkTrainable('lossAndGrads', this);
    const { ctx, labels } = windows(batch);
    const prepared = batch.segmentation && checkedSegmentation(batch.segmentation, ctx);
    const begun = prepared ? ctx.with({ plan: [prepared] }) : ctx;
    const run = this.backbone.plan && !canReadSync() ? begun.with({ plan: await this.plan(begun) }) : begun;
    const named = this.parameterNames();
    let parts: LossAndGrads['parts'] = {};
    const { value, grads } = tf.variableGrads(
      () => {
        const { total, parts: made, records } = this.loss(labels, run);
        parts = Object.fromEntries(Object.entries(made).map(([k, v]) => [k, tf.keep(tf.clone(v))]));
        records.forEach((r, s) => {
          parts[`positionsPerChunk${s}`] = positionsPerChunk(r);
          r.segmentation.dispose();
          r.context.dispose();
        });
        return total;
      },
      [...named.keys()],
    );
    ctx.dispose();
    const byName = new Map<string, tf.Tensor>();
    for (const [v, name] of named) if (grads[v.name]) byName.set(name, grads[v.name]!);
    return { loss: value as tf.Scalar, parts, grads: byName };
  }

  initState(batchSize: number): SequenceLMState {
    const state = { embed: this.embed.initState(batchSize), backbone: this.backbone.initState(batchSize) };
    return this.documentEnds ? { ...state, ended: new Uint8Array(batchSize) } : state;
  }

  async prefill(ids: Int32Array, state: SequenceLMState, ctx: SequenceContext): Promise<{ logits: tf.Tensor3D; state: SequenceLMState }> {
    const own = this.withDocuments(ctx.with({ ids }));
    const idTensor = tf.tensor2d(this.checkedIds(own), [ctx.batch, ctx.length], 'int32');
    const everyRow = Array.from({ length: ctx.batch }, (_, b) => b);
    const going = everyRow.filter((b) => own.isReal(b, 0));
    const embedded = this.embed.prefill(idTensor, state.embed, own);
    const out = await this.backbone.prefill(embedded.y, this.startDocuments(state, going), own);
    const logits = this.head.forward(out.y) as tf.Tensor3D;
    tf.dispose([idTensor, embedded.y, out.y]);
    const last = going.map((b) => ids[b * ctx.length + (ctx.lengths?.[b] ?? ctx.length) - 1]!);
    return { logits, state: { embed: embedded.state, backbone: out.state, ...this.noteEnds(state, going, last) } };
  }

  step(
    ids: Int32Array,
    state: SequenceLMState,
    rows?: readonly number[],
  ): MaybePromise<{ logits: tf.Tensor2D; state: SequenceLMState; fired: Int8Array[] }> {
    const embedded = this.embed.step(ids, state.embed, rows);
    for (const f of firedByStage(state.backbone)) f.fill(-1);
    const stepped = this.documentEnds ? (rows ?? Array.from(ids, (_, b) => b)) : [];
    const backbone = this.startDocuments(state, stepped);
    return after(this.backbone.step(embedded.y, backbone, rows, ids), (out) => {
      const logits = this.head.forward(out.y) as tf.Tensor2D;
      tf.dispose([embedded.y, out.y]);
      return { logits, state: { embed: embedded.state, backbone: out.state, ...this.noteEnds(state, stepped, ids) }, fired: firedByStage(out.state) };
    });
  }

  /** The next id of these rows begins a new document, whatever the last one was. Consumes the state like `step`. */
  startDocument(state: SequenceLMState, rows: readonly number[]): SequenceLMState {
    for (const row of rows) if (state.ended) state.ended[row] = 0;
    return { ...state, backbone: this.backbone.startDocument(state.backbone, rows) };
  }

  /** Document ids out of the ids themselves, where the model knows ends and the caller said nothing. For who runs its parts one by one. */
  withDocuments(ctx: SequenceContext): SequenceContext {
    const { ids, documentIds, batch, length } = ctx;
    if (!this.documentEnds || documentIds || !ids?.some((id) => this.documentEnds!.has(id))) return ctx;
    const found = new Int32Array(batch * length);
    for (let b = 0; b < batch; b++)
      for (let i = b * length + 1; i < (b + 1) * length; i++) found[i] = found[i - 1]! + (this.documentEnds.has(ids[i - 1]!) ? 1 : 0);
    return ctx.with({ documentIds: found });
  }

  /** The backbone's state, with the rows among `going` started anew whose document has ended. */
  protected startDocuments({ backbone, ended }: SequenceLMState, going: readonly number[]): unknown {
    const fresh = ended ? going.filter((b) => ended[b]) : [];
    return fresh.length ? this.backbone.startDocument(backbone, fresh) : backbone;
  }

  private noteEnds({ ended }: SequenceLMState, rows: readonly number[], last: ArrayLike<number>): { ended?: Uint8Array } {
    if (!ended) return {};
    rows.forEach((b, i) => (ended[b] = this.documentEnds!.has(last[i]!) ? 1 : 0));
    return { ended };
  }

  /** Names by variable, tied parameters under their first name. */
  parameterNames(): Map<tf.Variable, string> {
    const named = new Map<tf.Variable, string>();
    for (const [name, v] of this.parameters()) if (!named.has(v)) named.set(v, name);
    return named;
  }

  protected checkedIds(ctx: SequenceContext): Int32Array {
    const { ids } = ctx;
    if (!ids) throw new DataError('[SequenceLM] `ctx.ids` is missing. Hint: new SequenceContext(batch, length, { ids }).');
    for (let i = 0; i < ids.length; i++) {
      if (!(ids[i]! >= 0 && ids[i]! < this.vocabSize)) {
        throw new DataError(`[SequenceLM] id ${ids[i]} at row ${Math.floor(i / ctx.length)}, position ${i % ctx.length}: expected 0..${this.vocabSize - 1}.`);
      }
    }
    return ids;
  }
}

function positionsPerChunk({ segmentation, context }: StageRecord): number {
  const sum = (values: Int32Array) => values.reduce((a, b) => a + b, 0);
  const positions = context.lengths ? sum(context.lengths) : context.batch * context.length;
  return positions / Math.max(1, sum(segmentation.numChunks));
}

function checkedSegmentation(seg: Segmentation, { batch, length }: SequenceContext): Segmentation {
  if (seg.batch === batch && seg.length === length) return seg;
  throw new DataError(`[lossAndGrads] segmentation: expected one of the inputs, (${batch}, ${length}), got (${seg.batch}, ${seg.length}). Hint: rows of L + 1 ids have L inputs.`);
}

/** Splits windows of L + 1 ids into inputs and labels; nothing is predicted across documents or at padding. */
function windows({ ids, batch, length, lengths, documentIds }: TrainBatch): { ctx: SequenceContext; labels: Int32Array } {
  if (length < 2) throw new DataError(`[lossAndGrads] rows of ${length} ids: at least 2 are needed, one to read and one to predict.`);
  const L = length - 1;
  const cut = (source: Int32Array) => {
    const out = new Int32Array(batch * L);
    for (let b = 0; b < batch; b++) out.set(source.subarray(b * length, b * length + L), b * L);
    return out;
  };
  const labels = new Int32Array(batch * L);
  for (let b = 0; b < batch; b++) {
    const end = lengths ? lengths[b]! : length;
    for (let t = 0; t < L; t++) {
      const i = b * length + t;
      const sameDocument = !documentIds || documentIds[i] === documentIds[i + 1];
      labels[b * L + t] = t + 1 < end && sameDocument ? ids[i + 1]! : -100;
    }
  }
  const ctx = new SequenceContext(batch, L, {
    ids: cut(ids),
    lengths: lengths?.map((n) => Math.max(0, n - 1)),
    documentIds: documentIds && cut(documentIds),
  });
  return { ctx, labels };
}
