import * as tf from '@tensorflow/tfjs-core';
import { DataError } from '../errors.js';
import { LazyTensors } from './lazy-tensors.js';
import { SequenceContext } from './sequence-context.js';

/**
 * One segmentation of a batch of sequences; every paper's chunks reduce to it. `boundaryMask[b, t]` is true where the main network takes
 * one step at byte t. Byte 0 always is one. Chunk j is the bytes after boundary j−1 up to and including boundary j; the main network's
 * output j is visible to bytes from boundary j on, up to the byte before boundary j+1.
 *
 * It lives on the host; index tensors are made on first use and freed with `dispose`.
 */
export class Segmentation {
  readonly batch: number;
  readonly length: number;
  /** (B*L) row-major, 1 at boundaries, 0 elsewhere and at padding. */
  readonly boundaryMask: Uint8Array;
  /** Chunks of each row. */
  readonly numChunks: Int32Array;
  /** Width of the chunk axis, M: the largest of `numChunks`, rounded up to `padTo`. */
  readonly maxChunks: number;
  /**
   * What a boundary byte is: the first byte of what is drawn as a chunk (H-Net), or the last (BLT, Bolmo). Where a chunk reaches over the
   * end of a packed document, it belongs to the document of that first byte; with its boundary at a document's first byte, to that document.
   */
  readonly drawnAt: 'start' | 'end';
  private readonly made = new LazyTensors();

  /**
   * @param options.padTo Round M up to a multiple of this, so that few different sizes reach WebGPU. Default 1.
   * @param options.continues The rows go on from a state (prefill of a second piece): byte 0 then need not be a boundary.
   */
  constructor(
    batch: number,
    length: number,
    boundaryMask: Uint8Array,
    options: { drawnAt?: 'start' | 'end'; padTo?: number; continues?: boolean } = {},
  ) {
    if (boundaryMask.length !== batch * length) {
      throw new DataError(`[Segmentation] boundaryMask: expected ${batch} x ${length} = ${batch * length} entries, got ${boundaryMask.length}.`);
    }
    this.batch = batch;
    this.length = length;
    this.boundaryMask = boundaryMask;
    this.drawnAt = options.drawnAt ?? 'start';
    this.numChunks = new Int32Array(batch);
    for (let b = 0; b < batch; b++) {
      if (!options.continues && length > 0 && !boundaryMask[b * length]) {
        throw new DataError(`[Segmentation] row ${b}: byte 0 is not a boundary. Hint: every chunker marks the first byte of a row.`);
      }
      for (let t = 0; t < length; t++) this.numChunks[b]! += boundaryMask[b * length + t]!;
    }
    const most = this.numChunks.reduce((a, n) => Math.max(a, n), 1);
    const padTo = options.padTo ?? 1;
    this.maxChunks = Math.ceil(most / padTo) * padTo;
  }

  /** (B, M) int32: the byte of each chunk's boundary, −1 beyond a row's last chunk. */
  boundaryIndex(): tf.Tensor2D {
    return this.made.get('boundaryIndex', () => tf.tensor2d(this.boundaryIndexValues(), [this.batch, this.maxChunks], 'int32')) as tf.Tensor2D;
  }

  boundaryIndexValues(): Int32Array {
    const out = new Int32Array(this.batch * this.maxChunks).fill(-1);
    this.forEachBoundary((b, t, j) => (out[b * this.maxChunks + j] = t));
    return out;
  }

  /** (B, L) int32: the main output that byte t may use, i.e. boundaries at or before t, minus 1. −1 before the first one. */
  visibleChunk(): tf.Tensor2D {
    return this.made.get('visibleChunk', () => tf.tensor2d(this.countBoundaries(true), [this.batch, this.length], 'int32')) as tf.Tensor2D;
  }

  /** (B, L) int32: the chunk whose pooling includes byte t; −1 for bytes after the last boundary, which belong to no finished chunk. */
  pooledInto(): tf.Tensor2D {
    return this.made.get('pooledInto', () => {
      const ids = this.countBoundaries(false);
      ids.forEach((j, i) => (ids[i] = j < this.numChunks[Math.floor(i / this.length)]! ? j : -1));
      return tf.tensor2d(ids, [this.batch, this.length], 'int32');
    }) as tf.Tensor2D;
  }

  /** (B, L) float32 copy of `boundaryMask`. */
  boundaryMaskTensor(): tf.Tensor2D {
    return this.made.get('mask', () => tf.tensor2d(Float32Array.from(this.boundaryMask), [this.batch, this.length])) as tf.Tensor2D;
  }

  private countBoundaries(inclusive: boolean): Int32Array {
    const out = new Int32Array(this.batch * this.length);
    for (let b = 0; b < this.batch; b++)
      for (let t = 0, n = 0; t < this.length; t++) {
        const i = b * this.length + t;
        const before = n;
        n += this.boundaryMask[i]!;
        out[i] = inclusive ? n - 1 : before;
      }
    return out;
  }

  private forEachBoundary(visit: (b: number, t: number, j: number) => void): void {
    for (let b = 0; b < this.batch; b++)
      for (let t = 0, j = 0; t < this.length; t++) if (this.boundaryMask[b * this.length + t]) visit(b, t, j++);
  }

  /** The context of the main network: one position a chunk, padding behind each row's last one, documents carried over. */
  innerContext(outer: SequenceContext): SequenceContext {
    const uniform = this.numChunks.every((n) => n === this.maxChunks);
    let documentIds: Int32Array | undefined;
    if (outer.documentIds) {
      documentIds = new Int32Array(this.batch * this.maxChunks);
      let previous = -1;
      this.forEachBoundary((b, t, j) => {
        const first = this.drawnAt === 'start' || outer.isStart(b, t) ? t : j === 0 ? 0 : previous + 1;
        // Padding continues the last document: ids stay non-decreasing.
        documentIds!.fill(outer.documentIds![b * this.length + first]!, b * this.maxChunks + j, (b + 1) * this.maxChunks);
        previous = t;
      });
    }
    return new SequenceContext(this.batch, this.maxChunks, {
      lengths: uniform ? undefined : this.numChunks,
      documentIds,
      plan: outer.plan?.slice(1),
      record: outer.record,
    });
  }

  dispose(): void {
    this.made.dispose();
  }
}
