import * as tf from '@tensorflow/tfjs-core';
import { argmax, disposeState, SequenceContext, type StageRecord } from '@bytelm/core';
import { mean, median, percentile } from '../stats.js';
import { windows } from './batches.js';
import type { LoadedModel } from './family.js';
import { cpuClock, rateOf, times, type Rate } from './measure.js';

export interface PrefillResult extends Rate {
  bytesPerChunk: number[];
}

/** Reads 1 x 2,048 bytes into a state. */
export async function benchPrefill(loaded: LoadedModel, data: Uint8Array, { seconds, length = 2048 }: { seconds: number; length?: number }): Promise<PrefillResult> {
  const { model } = loaded;
  const ids = windows(loaded, data, 1, length);
  let chunks: number[] = [];
  const run = async () => {
    const record: StageRecord[] = [];
    const { logits, state } = await model.prefill(ids, model.initState(1), new SequenceContext(1, length, { ids, record }));
    const last = tf.slice(logits, [0, length - 1, 0], [1, 1, model.vocabSize]);
    argmax(await last.data());
    chunks = record.map((r) => r.segmentation.numChunks[0]!);
    for (const r of record) r.segmentation.dispose();
    tf.dispose([logits, last]);
    disposeState(state);
  };
  const spent = await times(run, { warmUps: 2, seconds, least: 3 });
  return { ...rateOf(spent, length), bytesPerChunk: perStage([length, ...chunks]) };
}

export interface DecodeResult extends Rate {
  msPerStepMedian: number;
  /** Bytes that close a chunk are slow. */
  msPerStepP99: number;
  msToFirstByte: number;
  bytesPerChunk: number[];
}

/** 256 steps after a prompt of 512 bytes: takes the best next byte, feeds the text's, so that chunks close at a natural rate. */
export async function benchDecode(loaded: LoadedModel, data: Uint8Array, { seconds, prompt = 512, fresh = 256 }: { seconds: number; prompt?: number; fresh?: number }): Promise<DecodeResult> {
  const { model } = loaded;
  const ids = windows(loaded, data, 1, prompt + fresh);
  const fed = (await loaded.feed?.(ids)) ?? ids;
  const steps: number[] = [];
  const firsts: number[] = [];
  let fired: number[] = [];
  for (let run = 0, end = Infinity; run < 2 || performance.now() < end; run++) {
    const begun = performance.now();
    const first = ids.slice(0, prompt);
    const read = await model.prefill(first, model.initState(1), new SequenceContext(1, prompt, { ids: first }));
    const last = tf.slice(read.logits, [0, prompt - 1, 0], [1, 1, model.vocabSize]);
    let logits: ArrayLike<number> = await last.data();
    tf.dispose([read.logits, last]);
    let { state } = read;
    const prefillMs = performance.now() - begun;
    const own: number[] = [];
    const closed: number[] = [];
    for (let t = prompt; t < prompt + fresh; t++) {
      const start = performance.now();
      argmax(logits);
      const out = await model.step(fed.subarray(t, t + 1), state);
      state = out.state;
      logits = await out.logits.data();
      out.logits.dispose();
      own.push((performance.now() - start) / 1000);
      out.fired.forEach((f, s) => (closed[s] = (closed[s] ?? 0) + (f[0] === 1 ? 1 : 0)));
    }
    disposeState(state);
    if (run === 0) {
      end = performance.now() + 1000 * seconds;
      cpuClock.start();
      continue;
    }
    steps.push(...own);
    firsts.push(prefillMs);
    fired = closed;
  }
  return {
    ...rateOf(steps, 1),
    msPerStepMedian: 1000 * median(steps),
    msPerStepP99: 1000 * percentile(steps, 0.99),
    msToFirstByte: mean(firsts),
    bytesPerChunk: perStage([fresh, ...fired]),
  };
}

/** Positions of each stage per position of the next. */
const perStage = (counts: readonly number[]): number[] => counts.slice(1).map((n, s) => counts[s]! / Math.max(1, n));
