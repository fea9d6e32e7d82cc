import { SequenceContext, type ByteVocabulary, type SequenceLM, type StageRecord } from '@bytelm/core';
import { bitsPerByte } from '@bytelm/core/evaluation';

export interface Measured {
  bitsPerByte: number;
  /** Of each stage, outermost first: bytes per step of its main network. */
  bytesPerChunk: number[];
}

/** How well a model predicts a text, and how it cuts it; in windows of `window` bytes, each alone behind a BOS. */
export async function measure(model: SequenceLM, text: Uint8Array, vocabulary: ByteVocabulary, { window, batch }: { window: number; batch: number }): Promise<Measured> {
  const { bos, offset } = vocabulary;
  const { bitsPerByte: bpb } = await bitsPerByte(model, text, { mode: 'chunked', window, batch, bos, byteOffset: offset });
  const chunks: number[] = [];
  const rows = Math.floor(text.length / window);
  for (let from = 0; from < rows; from += batch) {
    const count = Math.min(batch, rows - from);
    const ids = new Int32Array(count * (window + 1));
    for (let b = 0; b < count; b++) {
      ids[b * (window + 1)] = bos;
      for (let t = 0; t < window; t++) ids[b * (window + 1) + t + 1] = text[(from + b) * window + t]! + offset;
    }
    const record: StageRecord[] = [];
    const ctx = new SequenceContext(count, window + 1, { ids, record });
    (await model.logits(ids, ctx)).dispose();
    record.forEach(({ segmentation, context }, s) => {
      chunks[s] = segmentation.numChunks.reduce((a, b) => a + b, chunks[s] ?? 0);
      segmentation.dispose();
      context.dispose();
    });
    ctx.dispose();
  }
  return { bitsPerByte: bpb, bytesPerChunk: chunks.map((n) => (rows * (window + 1)) / n) };
}
