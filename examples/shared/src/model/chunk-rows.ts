import * as tf from '@tensorflow/tfjs-core';
import { ByteTokenizer, SequenceContext, type ByteVocabulary, type Segmentation, type SequenceLM, type StageRecord } from '@bytelm/core';
import type { ChunkRow, StageDecisions } from '../page/index.js';

/**
 * How a model cuts a text: probability and decision of every stage at every position it looked at. A BOS is put in front, as the model
 * was trained; it is part of the row. Models whose chunks end at a boundary (BLT, Bolmo) are shown by where chunks start, as all others.
 */
export async function chunkRow(model: SequenceLM, vocabulary: ByteVocabulary, text: string | Uint8Array, label?: string): Promise<ChunkRow> {
  const ids = new ByteTokenizer(vocabulary).encode(text);
  const ctx = new SequenceContext(1, ids.length, { ids });
  const plan = await model.plan(ctx);
  const record: StageRecord[] = [];
  const probs = tf.tidy(() => {
    model.forward(ctx.with({ plan, record }));
    // Out of the tidy: forward passes keep nothing else.
    return record.map((r) => r.boundaryProb && tf.keep(tf.clone(r.boundaryProb)));
  });
  const read = await Promise.all(record.map(async ({ segmentation, context }, s) => ({ segmentation, positions: context.lengths?.[0] ?? context.length, p: await probs[s]?.data() })));
  tf.dispose(probs.flatMap((p) => p ?? []));
  for (const s of plan) s.dispose();
  ctx.dispose();
  return { bytes: shownBytes(ids, vocabulary), stages: startDecisions(read), ...(label !== undefined && { label }) };
}

/** Ids as bytes; BOS and EOS as FE and FF, which occur in no UTF-8. */
function shownBytes(ids: Int32Array, { offset, bos, eos }: ByteVocabulary): Uint8Array {
  return Uint8Array.from(ids, (id) => (id === bos ? 0xfe : id === eos ? 0xff : Math.max(0, id - offset)));
}

/** Decisions by where chunks start. A chunker that is not learned is certain: its probabilities are 0 and 1. */
function startDecisions(stages: readonly { segmentation: Segmentation; positions: number; p: ArrayLike<number> | undefined }[]): StageDecisions[] {
  let units = 0;
  return stages.map(({ segmentation: { boundaryMask: mask, drawnAt }, positions, p = mask }, s) => {
    // An inner stage has not seen a chunk that is still open: nothing starts there.
    const length = s ? units : positions;
    const shift = drawnAt === 'end' ? 1 : 0;
    const at = (values: ArrayLike<number>, i: number): number => (i < shift ? 1 : i - shift < positions ? values[i - shift]! : 0);
    const b = Array.from({ length }, (_, i) => at(mask, i));
    units = b.filter(Boolean).length;
    return { p: Array.from({ length }, (_, i) => at(p, i)), b };
  });
}

/** For each byte of a row of a batch: how many stages, counted from outside, start a chunk there. */
export function boundaryDepths(segmentations: readonly Segmentation[], row: number, bytes: number): number[] {
  const depths = Array<number>(bytes).fill(0);
  const stages = startDecisions(
    segmentations.map((segmentation, s) => ({
      segmentation: { boundaryMask: segmentation.boundaryMask.subarray(row * segmentation.length), drawnAt: segmentation.drawnAt } as Segmentation,
      positions: s ? segmentations[s - 1]!.numChunks[row]! : bytes,
      p: undefined,
    })),
  );
  let positions = Array.from({ length: bytes }, (_, i) => i);
  stages.forEach(({ b }, s) => {
    positions = positions.filter((_, i) => b[i]);
    for (const at of positions) depths[at] = s + 1;
  });
  return depths;
}
