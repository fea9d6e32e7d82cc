import type { BatchSource, TrainBatch } from '@bytelm/core/train';

/** Batches that count the bytes they stand for: where ids are not bytes, rates and losses are still those of bytes. */
export class CountedBatches implements BatchSource {
  private bytes = 0;

  /** @param bytesOf Bytes of the targets of a batch. */
  constructor(
    private readonly batches: BatchSource,
    private readonly bytesOf: (batch: TrainBatch) => number,
  ) {}

  async next(): Promise<TrainBatch> {
    const batch = await this.batches.next();
    this.bytes += this.bytesOf(batch);
    return batch;
  }

  /** Bytes given out since the last call. */
  take(): number {
    const { bytes } = this;
    this.bytes = 0;
    return bytes;
  }

  state(): unknown {
    return this.batches.state();
  }

  restore(state: unknown): void {
    this.batches.restore(state);
  }
}
