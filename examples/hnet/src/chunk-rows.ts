import * as tf from '@tensorflow/tfjs-core';
import { ByteTokenizer, SequenceContext, type Segmentation, type SequenceLM, type StageRecord } from '@bytelm/core';
import type { ChunkRow } from './page/index.js';

/**
 * How a model cuts a text: probability and decision of every stage at every position it looked at. A BOS is put in front, as the model
 * was trained; it is part of the row.
 */
export async function chunkRow(model: SequenceLM, text: string | Uint8Array, label?: string): Promise<ChunkRow> {
  const ids = new ByteTokenizer('hnet').encode(text);
  const ctx = new SequenceContext(1, ids.length, { ids });
  const plan = await model.plan(ctx);
  const record: StageRecord[] = [];
  const probs = tf.tidy(() => {
    model.forward(ctx.with({ plan, record }));
    // Out of the tidy: forward passes keep nothing else.
    return record.map((r) => tf.keep(tf.clone(r.boundaryProb!)));
  });
  const stages = await Promise.all(record.map(async ({ segmentation, context }, s) => stageDecisions(segmentation, context.lengths?.[0] ?? context.length, await probs[s]!.data())));
  tf.dispose(probs);
  for (const s of plan) s.dispose();
  ctx.dispose();
  return { bytes: ids, stages, ...(label !== undefined && { label }) };
}

const stageDecisions = ({ boundaryMask }: Segmentation, positions: number, p: ArrayLike<number>) => ({
  p: Array.from({ length: positions }, (_, i) => p[i]!),
  b: Array.from({ length: positions }, (_, i) => boundaryMask[i]!),
});

/** For each byte of a row of a batch: how many stages, counted from outside, start a chunk there. */
export function boundaryDepths(segmentations: readonly Segmentation[], row: number, bytes: number): number[] {
  const depths = Array<number>(bytes).fill(0);
  let positions = Array.from({ length: bytes }, (_, i) => i);
  segmentations.forEach((seg, s) => {
    positions = positions.filter((_, i) => seg.boundaryMask[row * seg.length + i]);
    for (const at of positions) depths[at] = s + 1;
  });
  return depths;
}
