import * as tf from '@tensorflow/tfjs-core';
import { HierarchicalLM, Segmentation, SequenceContext } from '@bytelm/core';
import { AdamW, type TrainBatch } from '@bytelm/core/train';
import { windows } from './batches.js';
import type { LoadedModel } from './family.js';
import { rateOf, times, type Rate } from './measure.js';

export interface TrainResult extends Rate {
  firstLoss: number;
  lastLoss: number;
  bytesPerChunk: number[];
}

/**
 * Forward, backward and AdamW over 8 x 512 bytes, the loss read back after each step. The rate is so small that chunk boundaries stay
 * where they are. Four batches in turn, each once to warm up: as the peers do it. Patches of BLTs are ready beforehand, as in published training.
 */
export async function benchTrain(loaded: LoadedModel, data: Uint8Array, { seconds, batch = 8, length = 512 }: { seconds: number; batch?: number; length?: number }): Promise<TrainResult> {
  const { model } = loaded;
  const batches = await Promise.all(Array.from({ length: 4 }, (_, i) => prepared(loaded, windows(loaded, data, batch, length + 1, 7919 * i), batch, length)));
  const optimizer = new AdamW([{ params: model.parameters(), weightDecay: 0.1 }], { betas: [0.9, 0.95] });
  const losses: number[] = [];
  const rates: number[][] = [];
  const step = async (i: number) => {
    const out = await model.lossAndGrads(batches[i % 4]!());
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

/** Makes the batch anew each time: whoever computes the loss frees a segmentation that comes with it. */
async function prepared({ model }: LoadedModel, ids: Int32Array, batch: number, length: number): Promise<() => TrainBatch> {
  const plain: TrainBatch = { ids, batch, length: length + 1 };
  const chunker = model instanceof HierarchicalLM ? model.parts.chunker : undefined;
  if (chunker?.reads !== 'ids') return () => plain;
  const inputs = new Int32Array(batch * length);
  for (let b = 0; b < batch; b++) inputs.set(ids.subarray(b * (length + 1), b * (length + 1) + length), b * length);
  const { boundaryMask, drawnAt } = await chunker.segment(undefined, new SequenceContext(batch, length, { ids: inputs }));
  return () => ({ ...plain, segmentation: new Segmentation(batch, length, boundaryMask, { drawnAt }) });
}
