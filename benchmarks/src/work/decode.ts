import * as tf from '@tensorflow/tfjs-core';
import {
  argmax, canDecodeRecorded, disposeState, HostDecoder, RecordedDecoder, Rng, SequenceContext,
  type Decoder, type SamplingOptions, type SequenceLM, type StageRecord,
} from '@bytelm/core';
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
  /** The step was recorded and replayed, as `generate` does on webgpu. */
  recorded: boolean;
}

interface DecodeOptions {
  seconds: number;
  prompt?: number;
  fresh?: number;
  /** Default: where `generate` does so. `false`: never. */
  recorded?: boolean | undefined;
}

/**
 * 256 steps after a prompt of 512 bytes, by what `generate` decodes with on the active backend: takes the best next byte, feeds the text's, so
 * that chunks close at a natural rate.
 */
export async function benchDecode(loaded: LoadedModel, data: Uint8Array, { seconds, prompt = 512, fresh = 256, ...options }: DecodeOptions): Promise<DecodeResult> {
  const ids = windows(loaded, data, 1, prompt + fresh);
  const fed = ((await loaded.feed?.(ids)) ?? ids).subarray(prompt);
  const recorded = options.recorded !== false && canDecodeRecorded(loaded.model, 1, GREEDY);
  const steps: number[] = [];
  const firsts: number[] = [];
  let fired: number[] = [];
  for (let run = 0, end = Infinity; run < 2 || performance.now() < end; run++) {
    const decoded = await decodeText(loaded.model, ids.slice(0, prompt), fed, recorded);
    if (run === 0) {
      end = performance.now() + 1000 * seconds;
      cpuClock.start();
      continue;
    }
    steps.push(...decoded.seconds);
    firsts.push(decoded.prefillMs);
    fired = decoded.fired;
  }
  return {
    ...rateOf(steps, 1),
    msPerStepMedian: 1000 * median(steps),
    msPerStepP99: 1000 * percentile(steps, 0.99),
    msToFirstByte: mean(firsts),
    bytesPerChunk: perStage([fresh, ...fired]),
    recorded,
  };
}

const GREEDY: SamplingOptions = { temperature: 0 };

export interface DecodedText {
  /** Of each step; that of a recording, which `generate` makes at its first byte, is in the first. */
  seconds: number[];
  prefillMs: number;
  /** The best id before each that was fed. */
  best: number[];
  /** By stage, how many bytes closed a chunk. */
  fired: number[];
}

/** Reads a prompt, then the ids `fed` one by one. */
export async function decodeText(model: SequenceLM, prompt: Int32Array, fed: Int32Array, recorded: boolean): Promise<DecodedText> {
  const out: DecodedText = { seconds: [], prefillMs: 0, best: [], fired: [] };
  const begun = performance.now();
  const ctx = new SequenceContext(1, prompt.length, { ids: prompt });
  const read = await model.prefill(prompt, model.initState(1), ctx);
  const last = tf.slice(read.logits, [0, prompt.length - 1, 0], [1, 1, model.vocabSize]);
  const streams = [new Rng(0)];
  const onHost = new HostDecoder(model, read.state, GREEDY, streams);
  onHost.seen(0, (await last.data()) as Float32Array);
  tf.dispose([read.logits, last]);
  ctx.dispose();
  out.prefillMs = performance.now() - begun;
  let decoder: Decoder = onHost;
  try {
    for (const [index, id] of fed.entries()) {
      const start = performance.now();
      out.best.push(decoder.next(0, index));
      const feed = [{ row: 0, id }];
      if (index === 0 && recorded) decoder = new RecordedDecoder(model, onHost.handOver(), feed, { ...GREEDY, streams, steps: fed.length });
      const fired = await decoder.read(feed);
      out.seconds.push((performance.now() - start) / 1000);
      fired.forEach((f, s) => (out.fired[s] = (out.fired[s] ?? 0) + (f[0] === 1 ? 1 : 0)));
    }
  } finally {
    decoder.dispose();
  }
  return out;
}

/** Positions of each stage per position of the next. */
const perStage = (counts: readonly number[]): number[] => counts.slice(1).map((n, s) => counts[s]! / Math.max(1, n));
