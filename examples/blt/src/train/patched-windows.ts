import { SequenceContext, type Chunker } from '@bytelm/core';
import type { BatchSource, TrainBatch } from '@bytelm/core/train';

/** Batches of windows whose patches are decided when they are read, each window on its own, outside of what gradients are computed of. */
export class PatchedWindows implements BatchSource {
  constructor(
    private readonly windows: BatchSource,
    private readonly patcher: Chunker,
  ) {}

  async next(): Promise<TrainBatch> {
    const batch = await this.windows.next();
    const { ids, length, batch: B } = batch;
    // Inputs are all but the last id of each row.
    const inputs = new Int32Array(B * (length - 1));
    for (let b = 0; b < B; b++) inputs.set(ids.subarray(b * length, (b + 1) * length - 1), b * (length - 1));
    const ctx = new SequenceContext(B, length - 1, { ids: inputs });
    const segmentation = await this.patcher.segment(undefined, ctx);
    ctx.dispose();
    return { ...batch, segmentation };
  }

  state(): unknown {
    return this.windows.state();
  }

  restore(state: unknown): void {
    this.windows.restore(state);
  }

  async close(): Promise<void> {
    await this.windows.close?.();
  }
}
