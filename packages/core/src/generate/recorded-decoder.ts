import * as tf from '@tensorflow/tfjs-core';
import type { ByteLM } from '../contracts/index.js';
import { packReport, readReport, type Report } from '../kernels/sampling/report.js';
import { MOST_SORTED } from '../kernels/sampling/webgpu.js';
import { sampleIds } from '../ops/sample-ids.js';
import type { Rng } from '../rng.js';
import { disposeState } from '../state.js';
import { canRecord, recordStep, type RecordedStep } from '../webgpu/recorder.js';
import { checkFinite, type Decoder, type FedId } from './decoder.js';
import type { SamplingOptions } from './sampling.js';

/** Positions that there is room for at a time; then caches grow and the step is recorded anew. */
const ROOM = 256;

/** Whether a model's steps can be recorded on the active backend, sampling included. */
export function canDecodeRecorded(model: ByteLM, batchSize: number, { temperature }: SamplingOptions): boolean {
  const canSample = temperature === 0 || model.vocabSize <= MOST_SORTED;
  return canRecord() && canSample && model.onDevice !== undefined && model.onDevice.canStep(batchSize);
}

/**
 * A step of a model with sampling behind it, recorded once and replayed for each byte: ids, caches, positions and boundaries stay on the
 * device. What the host reads back is four bytes a row: the sampled id and which stages fired. What it writes are random numbers.
 */
export class RecordedDecoder implements Decoder {
  private readonly inputs: { ids: tf.Tensor1D; draws: tf.Tensor1D };
  private readonly streams: readonly Rng[];
  /** Of each row's last step. */
  private readonly reports: Report[];
  /** What the device reads next in each row, as far as anybody asked. */
  private readonly ids: Int32Array;
  private state: unknown;
  private recorded: RecordedStep;
  private stages = 0;
  /** The memory of the weights when the step was recorded: `assign` gives a variable another. */
  private readonly weights = new Map<tf.Variable, object>();
  /** Steps that there is room for. */
  private left: number;

  /** @param state after the prompts; it is consumed. @param feed the first ids. @param options.steps that will be asked for at most. */
  constructor(
    private readonly model: ByteLM,
    state: unknown,
    feed: readonly FedId[],
    private readonly options: SamplingOptions & { streams: readonly Rng[]; steps: number },
  ) {
    this.streams = options.streams;
    this.left = Math.min(ROOM, options.steps);
    this.reports = this.streams.map(() => ({ id: 0, fired: [] }));
    this.ids = new Int32Array(this.streams.length);
    for (const { row, id } of feed) this.ids[row] = id;
    this.inputs = { ids: tf.tensor1d(this.ids.slice(), 'int32'), draws: tf.zeros([this.ids.length]) };
    this.state = model.onDevice!.begin(state, this.left);
    try {
      this.recorded = this.record();
    } catch (e) {
      this.free();
      throw e;
    }
  }

  next(row: number, index: number): number {
    const { id } = this.reports[row]!;
    checkFinite(id >= 0, row, index);
    return id;
  }

  async read(feed: readonly FedId[]): Promise<Int8Array[]> {
    if (this.left === 0) this.grow();
    else if ([...this.weights].some(([v, dataId]) => v.dataId !== dataId)) this.renew();
    this.left--;
    if (feed.some(({ row, id }) => id !== this.ids[row])) {
      // Others than were sampled: a text that is known.
      for (const { row, id } of feed) this.ids[row] = id;
      this.recorded.write('ids', this.ids);
    }
    if (this.options.temperature !== 0) {
      const draws = new Float32Array(this.streams.length);
      for (const { row } of feed) draws[row] = this.streams[row]!.next();
      this.recorded.write('draws', draws);
    }
    const words = await this.recorded.read('report');
    for (const { row } of feed) {
      this.reports[row] = readReport(words[row]!, this.stages);
      this.ids[row] = this.reports[row].id;
    }
    return Array.from({ length: this.stages }, (_, s) => Int8Array.from(this.reports, (r) => r.fired[s] ?? -1));
  }

  dispose(): void {
    this.recorded.dispose();
    this.free();
  }

  private free(): void {
    tf.dispose([this.inputs.ids, this.inputs.draws]);
    disposeState(this.state);
  }

  /** Ids go from step to step on the device; rows that have ended go on there, and nobody looks. */
  private record(): RecordedStep {
    const { model, inputs, options } = this;
    for (const v of model.parameters().values()) this.weights.set(v, v.dataId);
    return recordStep({
      inputs,
      run: () => {
        const boundaries: tf.Tensor1D[] = [];
        const logits = model.onDevice!.step(inputs.ids, this.state, { boundaries });
        const id = sampleIds(logits, inputs.draws, options);
        this.stages = boundaries.length;
        return { id, report: packReport(logits, id, boundaries) };
      },
      feedback: { ids: 'id' },
    });
  }

  private grow(): void {
    this.state = this.model.onDevice!.extend(this.state, ROOM);
    this.left = ROOM;
    this.renew();
  }

  private renew(): void {
    this.recorded.dispose();
    this.recorded = this.record();
  }
}
