import type * as tf from '@tensorflow/tfjs-core';
import type { ByteLM } from '../contracts/index.js';
import { SequenceContext } from '../contracts/sequence-context.js';
import { ConfigError, DataError, NumericError } from '../errors.js';
import { disposeState } from '../state.js';
import { planWindows, type EvaluationWindow } from './windows.js';

export interface BitsPerByteOptions {
  /**
   * What a byte may see. `chunked`: its own window of `window` bytes (cheap, biased upwards). `sliding` (default): windows advance by
   * `stride`, each byte is scored once, with at least `window − stride` bytes before it. `stateful`: everything before it, the state
   * being carried on in pieces of `window`.
   */
  mode?: 'chunked' | 'sliding' | 'stateful';
  /** Bytes of a window. Default 512. */
  window?: number;
  /** Only `sliding`. Default window / 2. */
  stride?: number;
  /** Windows run at once; not used by `stateful`. Default 8. */
  batch?: number;
  /** Id that starts every window (H-Net: 254), or `null` for a model without one: the first byte of a document is then left out. */
  bos: number | null;
  /** Id of byte 0 (BLT: 4). Default 0. */
  byteOffset?: number;
  onProgress?: (progress: { bytes: number; total: number; bitsPerByte: number }) => void;
  signal?: AbortSignal;
}

/** Sums over some bytes. */
export interface ByteScore {
  /** Scored bytes. */
  bytes: number;
  /** Σ −ln p. */
  nats: number;
  /** nats / (ln 2 · bytes). */
  bitsPerByte: number;
}

export interface BpbReport extends ByteScore {
  mode: 'chunked' | 'sliding' | 'stateful';
  window: number;
  /** Only `sliding`. */
  stride?: number;
  /** In the order given. */
  documents: ByteScore[];
  ms: number;
}

export type Documents = string | Uint8Array | readonly (string | Uint8Array)[];

/**
 * Bits per byte: `Σ −ln p(byte) / (ln 2 · bytes)`, total nats over total bytes, every byte scored exactly once, special ids never counted.
 * The sum is taken in float64 on the host; the device is read asynchronously only.
 *
 * @param data One document or several; a string counts as its UTF-8 bytes.
 * @throws DataError when there is nothing to score; NumericError naming the byte whose score is not finite.
 * @example
 * const { bitsPerByte: bpb } = await bitsPerByte(model, text, { mode: 'sliding', window: 512, bos: 254 });
 */
export async function bitsPerByte(model: ByteLM, data: Documents, options: BitsPerByteOptions): Promise<BpbReport> {
  const { mode = 'sliding', window = 512, batch = 8, bos, byteOffset = 0 } = options;
  const stride = mode === 'chunked' ? window : (options.stride ?? Math.max(1, Math.floor(window / 2)));
  check({ mode, window, stride, batch });
  const begin = performance.now();
  const documents = (typeof data === 'string' || data instanceof Uint8Array ? [data] : data).map((d) => (typeof d === 'string' ? new TextEncoder().encode(d) : d));
  const sums = documents.map(() => ({ bytes: 0, nats: 0 }));
  const total = documents.reduce((n, d) => n + Math.max(0, d.length - (bos === null ? 1 : 0)), 0);
  if (!total) throw new DataError(`[bitsPerByte] expected text to score, got ${documents.length} document${documents.length === 1 ? '' : 's'} without any. Hint: a model without BOS needs at least two bytes.`);
  const all = { bytes: 0, nats: 0 };
  const add = (document: number, nats: number, bytes: number): void => {
    for (const sum of [sums[document]!, all]) {
      sum.nats += nats;
      sum.bytes += bytes;
    }
  };
  const progress = () => {
    options.onProgress?.({ bytes: all.bytes, total, bitsPerByte: score(all).bitsPerByte });
    options.signal?.throwIfAborted();
  };
  const scoreRows = (logits: tf.Tensor, windows: readonly EvaluationWindow[]) => addScores(model, logits, windows, documents, byteOffset, add);
  if (mode === 'stateful') {
    for (const [d, document] of documents.entries()) await runStateful(model, planWindows(document, d, window, window, bos, byteOffset, true), scoreRows, progress);
  } else {
    const windows = documents.flatMap((document, d) => planWindows(document, d, window, stride, bos, byteOffset));
    for (let i = 0; i < windows.length; i += batch) {
      const some = windows.slice(i, i + batch);
      await runBatch(model, some, scoreRows);
      progress();
    }
  }
  return { ...score(all), mode, window, ...(mode === 'sliding' ? { stride } : {}), documents: sums.map(score), ms: performance.now() - begin };
}

const score = ({ bytes, nats }: { bytes: number; nats: number }): ByteScore => ({ bytes, nats, bitsPerByte: bytes ? nats / (Math.LN2 * bytes) : 0 });

type Score = (logits: tf.Tensor, windows: readonly EvaluationWindow[]) => Promise<void>;

async function runBatch(model: ByteLM, windows: readonly EvaluationWindow[], score: Score): Promise<void> {
  const lengths = windows.map((w) => w.inputs.length);
  const length = Math.max(...lengths);
  const ids = new Int32Array(windows.length * length);
  windows.forEach((w, row) => ids.set(w.inputs, row * length));
  const ctx = new SequenceContext(windows.length, length, { ids, lengths: lengths.every((l) => l === length) ? undefined : lengths });
  try {
    await score(await model.logits(ids, ctx), windows);
  } finally {
    ctx.dispose();
  }
}

async function runStateful(model: ByteLM, pieces: readonly EvaluationWindow[], score: Score, progress: () => void): Promise<void> {
  let state: unknown = model.initState(1);
  try {
    for (const piece of pieces) {
      const ctx = new SequenceContext(1, piece.inputs.length, { ids: piece.inputs });
      const out = await Promise.resolve(model.prefill(piece.inputs, state, ctx)).finally(() => ctx.dispose());
      state = out.state;
      await score(out.logits, [piece]);
      progress();
    }
  } finally {
    disposeState(state);
  }
}

/** Reads (B, L, V) logits, frees them, and adds −ln softmax(logits)[byte] of every scored byte. */
async function addScores(
  { vocabSize, boundaryFrom = 0 }: ByteLM,
  logits: tf.Tensor,
  windows: readonly EvaluationWindow[],
  documents: readonly Uint8Array[],
  byteOffset: number,
  add: (document: number, nats: number, bytes: number) => void,
): Promise<void> {
  const length = logits.shape[1]!;
  const values = await logits.data().finally(() => logits.dispose());
  windows.forEach(({ document, scoreFrom, end, first }, row) => {
    let nats = 0;
    for (let t = scoreFrom; t < end; t++) {
      const at = (row * length + t - first) * vocabSize;
      const nll = negativeLogProb(values, at, vocabSize, documents[document]![t]! + byteOffset, boundaryFrom);
      if (!Number.isFinite(nll)) throw new NumericError(`[bitsPerByte] byte ${t} of document ${document}: −ln p is ${nll}, expected a finite number. Hint: the weights or the training diverged.`);
      nats += nll;
    }
    add(document, nats, end - scoreFrom);
  });
}

/** ln Σ exp(logits) − logits[id], in float64. A byte with two ids, `id` and `id + boundaryFrom` (0: only one), has the likelihood of both. */
function negativeLogProb(values: ArrayLike<number>, at: number, vocabSize: number, id: number, boundaryFrom: number): number {
  let max = -Infinity;
  for (let v = at; v < at + vocabSize; v++) if (!(values[v]! <= max)) max = values[v]!;
  let sum = 0;
  for (let v = at; v < at + vocabSize; v++) sum += Math.exp(values[v]! - max);
  const own = values[at + id]!;
  if (!boundaryFrom) return max + Math.log(sum) - own;
  const twin = values[at + id + boundaryFrom]!;
  const higher = Math.max(own, twin);
  return max + Math.log(sum) - higher - Math.log1p(Math.exp(Math.min(own, twin) - higher));
}

function check({ mode, ...counts }: { mode: string; window: number; stride: number; batch: number }): void {
  const problems = Object.entries(counts).flatMap(([name, n]) => (Number.isInteger(n) && n >= 1 ? [] : [`${name}: expected a whole number from 1, got ${n}`]));
  if (!['chunked', 'sliding', 'stateful'].includes(mode)) problems.push(`mode: expected chunked, sliding or stateful, got ${mode}`);
  if (counts.stride > counts.window) problems.push(`stride: expected at most the window (${counts.window}), got ${counts.stride}: bytes would be skipped`);
  if (problems.length) throw new ConfigError(`[bitsPerByte] ${problems.join('; ')}.`);
}
