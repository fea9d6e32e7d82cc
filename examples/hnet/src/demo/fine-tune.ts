import { BYTE_VOCABULARIES, type SequenceLM } from '@bytelm/core';
import { bytesInMemory, ByteWindows, trainLoop, type StepEvent } from '@bytelm/core/train';
import type { HNetConfig } from '../config.js';
import { hnetOptimizer } from '../train/parameter-groups.js';
import { ROW } from './sample.js';

export interface FineTuneOptions {
  model: SequenceLM;
  config: HNetConfig;
  text: Uint8Array;
  lrMultipliers: readonly number[];
  /** How long, by the clock: the same demo on any machine. */
  seconds: number;
  seed: number;
  signal?: AbortSignal | undefined;
}

const BATCH = 4;
/** Highest rate, before multipliers: half of what the model was trained with from scratch. */
const PEAK = 1e-3;

/** Shares of the time that warm up and decay. */
const WARMUP = 0.05;
const DECAY = 0.4;

/**
 * Trains for a given time. The learning rate follows the clock (warm-up, constant, linear decay), so that it has come down when time is up
 * whatever the machine can do.
 */
export async function* fineTune(options: FineTuneOptions): AsyncGenerator<StepEvent & { seconds: number }, void, undefined> {
  const { model, config, text, seconds, seed, lrMultipliers } = options;
  const optimizer = hnetOptimizer(model, config, { lrMultipliers, weightDecay: 0.1, decayRule: 'matrices' });
  const begin = performance.now();
  const elapsed = () => (performance.now() - begin) / 1000;
  const batches = new ByteWindows(bytesInMemory(text), { length: ROW, batch: BATCH, seed, bos: BYTE_VOCABULARIES.hnet.bos });
  try {
    const schedule = () => {
      const share = Math.min(1, elapsed() / seconds);
      return PEAK * Math.max(0.02, Math.min(1, share / WARMUP, (1 - share) / DECAY));
    };
    const stop = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    for await (const event of trainLoop({ model, batches, optimizer, schedule, steps: Number.MAX_SAFE_INTEGER, clip: 1, signal })) {
      if (event.type !== 'step') continue;
      yield { ...event, seconds: elapsed() };
      if (elapsed() >= seconds) stop.abort();
    }
  } finally {
    optimizer.dispose();
  }
}
