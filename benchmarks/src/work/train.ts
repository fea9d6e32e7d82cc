import * as tf from '@tensorflow/tfjs-core';
import type { SequenceLM } from '@bytelm/core';
import { AdamW } from '@bytelm/core/train';
import { windows } from './batches.js';
import { rateOf, times, type Rate } from './measure.js';

export interface TrainResult extends Rate {
  firstLoss: number;
  lastLoss: number;
  bytesPerChunk: number[];
}

/**
 * Forward, backward and AdamW over 8 x 512 bytes, the loss read back after each step. The rate is so small that chunk boundaries stay
 * where they are. Four batches in turn, each once to warm up: as the peers do it.
 */
export async function benchTrain(model: SequenceLM, data: Uint8Array, { seconds, batch = 8, length = 512 }: { seconds: number; batch?: number; length?: number }): Promise<TrainResult> {
  const batches = Array.from({ length: 4 }, (_, i) => windows(data, batch, length + 1, 7919 * i));
  const optimizer = new AdamW([{ params: model.parameters(), weightDecay: 0.1 }], { betas: [0.9, 0.95] });
  const losses: number[] = [];
  const rates: number[][] = [];
  const step = async (i: number) => {
    const out = await model.lossAndGrads({ ids: batches[i % 4]!, batch, length: length + 1 });
    optimizer.apply(out.grads, { lr: 1e-6 });
    losses.push((await out.loss.data())[0]!);
    const chunks: number[] = [];
    for (let s = 0; `positionsPerChunk${s}` in out.parts; s++) chunks.push(out.parts[`positionsPerChunk${s}`] as number);
    rates.push(chunks);
    tf.dispose([out.loss, ...Object.values(out.parts).filter((p) => typeof p !== 'number'), ...out.grads.values()]);
  };
  const spent = await times(step, { warmUps: 4, seconds, least: 3 });
  optimizer.dispose();
  const counted = rates.slice(4);
  const bytesPerChunk = (counted[0] ?? []).map((_, s) => counted.length / counted.reduce((sum, r) => sum + 1 / r[s]!, 0));
  return { ...rateOf(spent, batch * length), firstLoss: losses[0]!, lastLoss: losses.at(-1)!, bytesPerChunk };
}
