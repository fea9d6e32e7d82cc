import { crossEntropy, SequenceContext } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import type { SubwordTokenizer } from '@bytelm/distill';
import { startToken } from './source.js';
import type { SourceConfig } from './config.js';
import type { SourceLM } from './model.js';

export interface EvaluateTextOptions {
  /** Tokens a window holds. Default 512. */
  window?: number;
  /** How far windows advance; every token is scored once, with at least `window − stride` before it. Default half a window. */
  stride?: number;
  /** Windows at once. Default 4. */
  batch?: number;
  onProgress?: (done: { tokens: number; total: number; bitsPerByte: number }) => void;
}

export interface TokenScore {
  /** Σ −ln p over all tokens. */
  nats: number;
  tokens: number;
  /** Bytes of the text. */
  bytes: number;
  /** nats / (ln 2 · bytes): comparable with byte models, whatever the vocabulary. */
  bitsPerByte: number;
  bytesPerToken: number;
  /** exp(nats / tokens). */
  perplexity: number;
}

/**
 * Bits per byte of a subword model: the likelihood of the text's tokens, divided by its bytes.
 * @throws DataError when the tokens do not say what the text says: their likelihood would be that of another text.
 */
export async function evaluateText(model: SourceLM, tokenizer: SubwordTokenizer, config: SourceConfig, text: string, { window = 512, stride = Math.max(1, window >> 1), batch = 4, onProgress }: EvaluateTextOptions = {}): Promise<TokenScore> {
  const { tokenIds, symbols } = tokenizer.align(text);
  const ids = Int32Array.of(startToken(config, tokenizer), ...tokenIds);
  const windows: { start: number; from: number; end: number }[] = [];
  for (let scored = 1, start = 0; scored < ids.length; start += stride) {
    const end = Math.min(start + window + 1, ids.length);
    windows.push({ start, from: scored, end });
    scored = end;
  }
  const bytes = new TextEncoder().encode(text).length;
  let [nats, tokens] = [0, 0];
  for (let i = 0; i < windows.length; i += batch) {
    nats += await scoreWindows(model, ids, windows.slice(i, i + batch));
    tokens = windows[Math.min(i + batch, windows.length) - 1]!.end - 1;
    onProgress?.({ tokens, total: ids.length - 1, bitsPerByte: nats / (Math.LN2 * bytes * (tokens / (ids.length - 1))) });
  }
  return { nats, tokens, bytes, bitsPerByte: nats / (Math.LN2 * bytes), bytesPerToken: symbols.length / tokens, perplexity: Math.exp(nats / tokens) };
}

/** Σ −ln p of the tokens that each window scores, in float64. */
async function scoreWindows(model: SourceLM, ids: Int32Array, windows: readonly { start: number; from: number; end: number }[]): Promise<number> {
  const lengths = windows.map((w) => w.end - 1 - w.start);
  const L = Math.max(...lengths);
  const inputs = new Int32Array(windows.length * L);
  const labels = new Int32Array(windows.length * L).fill(-100);
  windows.forEach(({ start, from, end }, b) => {
    inputs.set(ids.subarray(start, end - 1), b * L);
    labels.set(ids.subarray(from, end), b * L + from - 1 - start);
  });
  const ctx = new SequenceContext(windows.length, L, { ids: inputs, lengths: lengths.every((l) => l === L) ? undefined : lengths });
  const losses = tf.tidy(() => {
    const logits = model.forward(ctx);
    return crossEntropy(tf.reshape(logits, [-1, model.vocabSize]), tf.tensor1d(labels, 'int32'), { reduction: 'none' });
  });
  const values = Array.from(await losses.data());
  losses.dispose();
  ctx.dispose();
  return values.reduce((a, b) => a + b, 0);
}
