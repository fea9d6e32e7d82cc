import * as tf from '@tensorflow/tfjs-core';
import { after, BackendError, ConfigError, DataError, disposeState, readValues, SequenceContext, type ByteLM, type MaybePromise } from '@bytelm/core';
import { checkEntropies, entropyValues } from './next-byte-entropy.js';

export interface EntropiesOptions {
  /** Ids of each row read at a time, on top of the model's state: bounds memory. Default 1024. */
  pieceLength?: number | undefined;
}

/**
 * Next-byte entropies of a whole batch, in nats, read in pieces on top of the model's state: the same numbers as in one pass, also with a
 * sliding window. Rows do not see each other and padding changes nothing.
 *
 * @param ids (B*L) row-major. @param ctx `lengths` and `documentIds` count: nothing flows between documents.
 * @returns (B*L), entry i about the id behind i; 0 at padding.
 * @throws NumericError for logits that are not finite. @throws DataError when documents begin between pieces and the model cannot forget.
 * @source BLT, arXiv 2412.09871, section 2.3. The published code lets the rows of a batch run into each other (blt.md 3); this does not.
 * @example
 * const e = await entropies(model, ids, new SequenceContext(2, 40, { lengths: [40, 25] }));
 */
export async function entropies(model: ByteLM, ids: Int32Array, ctx: SequenceContext, options: EntropiesOptions = {}): Promise<Float32Array> {
  const { pieceLength = 1024 } = options;
  if (!(Number.isInteger(pieceLength) && pieceLength >= 1)) throw new ConfigError(`[entropies] pieceLength: expected a whole number from 1, got ${pieceLength}.`);
  const { batch, length } = ctx;
  if (ids.length !== batch * length) throw new DataError(`[entropies] ids: expected ${batch} x ${length} = ${batch * length}, got ${ids.length}.`);
  const longest = ctx.lengths ? ctx.lengths.reduce((a, n) => Math.max(a, n), 0) : length;
  const out = new Float32Array(batch * length);
  let state = model.initState(batch);
  try {
    for (let from = 0; from < longest; from += pieceLength) {
      const piece = cut(ctx, ids, from, Math.min(longest, from + pieceLength));
      state = forgetRows(model, state, rowsThatBegin(ctx, from));
      const read = await readPiece(model, piece, state);
      state = read.state;
      for (let b = 0; b < batch; b++) out.set(read.values.subarray(b * piece.length, (b + 1) * piece.length), b * length + from);
      piece.dispose();
    }
  } finally {
    disposeState(state);
  }
  return out;
}

/** Entropies of `ctx.ids` on top of a state, (B*L); 0 at padding. */
export function readPiece(model: ByteLM, ctx: SequenceContext, state: unknown): MaybePromise<{ values: Float32Array; state: unknown }> {
  return after(model.prefill(ctx.ids!, state, ctx), (out) => after(readEntropies(out.logits, ctx), (values) => ({ values, state: out.state })));
}

/** Entropies of whole rows in one pass, (B*L), without recording anything for gradients; 0 at padding. */
export function readRows(model: ByteLM, ctx: SequenceContext): MaybePromise<Float32Array> {
  return after(withoutTape(() => model.logits(ctx.ids!, ctx)), (logits) => readEntropies(logits, ctx));
}

/** One id of each of `rows`. */
export function readStep(model: ByteLM, ids: Int32Array, state: unknown, rows: readonly number[] | undefined): MaybePromise<{ values: Float32Array; state: unknown }> {
  return after(model.step(ids, state, rows), (out) =>
    after(readValues(out.logits), (logits) => {
      out.logits.dispose();
      const values = entropyValues(logits, model.vocabSize, new Float32Array(ids.length));
      checkEntropies('step', values, 1);
      return { values, state: out.state };
    }),
  );
}

/** Lets the model forget what these rows have read. */
export function forgetRows(model: ByteLM, state: unknown, rows: readonly number[]): unknown {
  if (!rows.length) return state;
  if (!model.startDocument) throw new DataError(`[entropies] row ${rows[0]} begins a document, but the model has no \`startDocument\`. Hint: SequenceLM has it.`);
  return model.startDocument(state, rows);
}

/** Consumes the logits. On the host, so that a step and a pass round alike. */
function readEntropies(logits: tf.Tensor3D, ctx: SequenceContext): MaybePromise<Float32Array> {
  const { batch, length } = ctx;
  return after(readValues(logits), (values) => {
    const V = logits.shape[2];
    logits.dispose();
    const out = new Float32Array(batch * length);
    for (let b = 0; b < batch; b++) {
      const start = b * length;
      const end = start + (ctx.lengths?.[b] ?? length);
      entropyValues((values as Float32Array).subarray(start * V, end * V), V, out.subarray(start, end));
    }
    checkEntropies('entropies', out, length);
    return out;
  });
}

function cut(ctx: SequenceContext, ids: Int32Array, from: number, to: number): SequenceContext {
  const { batch, length, lengths, documentIds } = ctx;
  const columns = (source: Int32Array) => {
    const out = new Int32Array(batch * (to - from));
    for (let b = 0; b < batch; b++) out.set(source.subarray(b * length + from, b * length + to), b * (to - from));
    return out;
  };
  return new SequenceContext(batch, to - from, {
    ids: columns(ids),
    lengths: lengths?.map((n) => Math.min(to - from, Math.max(0, n - from))),
    documentIds: documentIds && columns(documentIds),
  });
}

/** Rows in which a document begins at this position, in the middle of the row. */
function rowsThatBegin(ctx: SequenceContext, at: number): number[] {
  const rows: number[] = [];
  for (let b = 0; b < ctx.batch && at > 0 && ctx.documentIds; b++) if (ctx.isReal(b, at) && ctx.isStart(b, at)) rows.push(b);
  return rows;
}

/** Runs a model that is not trained inside a gradient function: tfjs would keep every one of its intermediate results. */
function withoutTape(run: () => MaybePromise<tf.Tensor3D>): MaybePromise<tf.Tensor3D> {
  if (tf.engine().state.gradientDepth === 0) return run();
  const frozen = tf.customGrad((() => {
    const value = run();
    if (value instanceof Promise) throw new BackendError('[entropies] the entropy model must be read asynchronously here. Hint: `ctx.with({ plan: await model.plan(...) })`.');
    return { value, gradFunc: () => tf.scalar(0) };
  }) as Parameters<typeof tf.customGrad>[0]);
  return tf.tidy(() => frozen(tf.scalar(0))) as tf.Tensor3D;
}
