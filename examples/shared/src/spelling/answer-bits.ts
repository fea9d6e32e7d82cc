import * as tf from '@tensorflow/tfjs-core';
import { canReadSync, SequenceContext, type SequenceLM } from '@bytelm/core';
import type { Task } from './answers.js';
import { readPrompts, type CuteRow } from './cute.js';
import { promptOf, type TextCodec, type PromptOptions } from './evaluate.js';

/** What is needed of a model: `SequenceLM` and everything derived from it. */
export type Scorable = Pick<SequenceLM, 'plan' | 'loss'>;

export interface AnswerBitsOptions extends PromptOptions {
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal | undefined;
}

/**
 * How surprised a model is by the right answers: −log2 of the probability of answer and closing quote behind the question, per byte of both. It
 * tells models apart long before they answer exactly. A model that emits boundaries is asked for those of its own cutting as well, so that its
 * numbers stand beside those of a model over tokens.
 * @returns bits per byte by task, all of its answers together.
 */
export async function answerBits(model: Scorable, codec: TextCodec, rows: readonly CuteRow[], { shots, stripped, prompts = readPrompts(), onProgress, signal }: AnswerBitsOptions = {}): Promise<Partial<Record<Task, number>>> {
  const sums = new Map<Task, { bits: number; bytes: number }>();
  // What starts a text stands in front of the prompt alone.
  const start = codec.encode('').length;
  for (const [i, row] of rows.entries()) {
    signal?.throwIfAborted();
    const answer = `${row.label}"`;
    const sum = sums.get(row.task) ?? { bits: 0, bytes: 0 };
    sum.bits += await bitsBehind(model, codec.encode(promptOf(row, { shots, stripped, prompts })), codec.encode(answer).subarray(start));
    sum.bytes += new TextEncoder().encode(answer).length;
    sums.set(row.task, sum);
    onProgress?.(i + 1, rows.length);
  }
  return Object.fromEntries([...sums].map(([task, { bits, bytes }]) => [task, bits / bytes]));
}

async function bitsBehind(model: Scorable, prompt: Int32Array, answer: Int32Array): Promise<number> {
  const ids = Int32Array.of(...prompt, ...answer);
  const labels = Int32Array.from(ids, (_, t) => (t + 1 >= prompt.length ? (ids[t + 1] ?? -100) : -100));
  const ctx = new SequenceContext(1, ids.length, { ids });
  const plan = canReadSync() ? undefined : await model.plan(ctx);
  const nats = tf.tidy(() => {
    const { parts, records } = model.loss(labels, plan ? ctx.with({ plan }) : ctx);
    for (const { segmentation, context } of records) {
      segmentation.dispose();
      context.dispose();
    }
    return tf.mul(parts.crossEntropy!, answer.length);
  });
  const value = (await nats.data())[0]!;
  nats.dispose();
  ctx.dispose();
  return value / Math.LN2;
}
