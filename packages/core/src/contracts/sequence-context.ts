import * as tf from '@tensorflow/tfjs-core';
import { DataError } from '../errors.js';
import { LazyTensors } from './lazy-tensors.js';
import type { Segmentation } from './segmentation.js';

export interface SequenceContextOptions {
  /** Real positions of each row; the rest is right padding. Default: all L. */
  lengths?: Int32Array | readonly number[] | undefined;
  /** (B*L) row-major ids of packed documents, non-decreasing within a row: nothing flows between different ids. */
  documentIds?: Int32Array | undefined;
  /** (B*L) row-major byte ids; only the outermost stage has them. */
  ids?: Int32Array | undefined;
  /** From `plan`: one segmentation per stage, outermost first. */
  plan?: readonly Segmentation[] | undefined;
  /** When given, hierarchical stages append what they decided, outermost first: the losses and metrics read it. */
  record?: StageRecord[] | undefined;
  /** What cross-attending decoder layers see: chunk states and where they become visible. */
  memory?: ChunkMemory | undefined;
}

/** What one stage decided in a forward pass. */
export interface StageRecord {
  segmentation: Segmentation;
  context: SequenceContext;
  /** (B, L) differentiable boundary probabilities; absent for chunkers that are not learned. */
  boundaryProb?: tf.Tensor2D | undefined;
}

/** The main network's outputs and the segmentation that says which byte may see which. */
export interface ChunkMemory {
  chunks: tf.Tensor3D;
  segmentation: Segmentation;
}

/**
 * Everything about a batch of sequences that is not the activations: which positions are real, which document they belong to, what was
 * planned. The facts live on the host (chunkers and steppers need them there, and WebGPU in Node cannot read back synchronously);
 * tensors are made on first use and freed with `dispose`.
 */
export class SequenceContext {
  readonly batch: number;
  readonly length: number;
  readonly lengths: Int32Array | undefined;
  readonly documentIds: Int32Array | undefined;
  readonly ids: Int32Array | undefined;
  readonly plan: readonly Segmentation[] | undefined;
  readonly record: StageRecord[] | undefined;
  readonly memory: ChunkMemory | undefined;
  private made = new LazyTensors();

  constructor(batch: number, length: number, options: SequenceContextOptions = {}) {
    this.batch = batch;
    this.length = length;
    checkOptions(batch, length, options);
    this.lengths = options.lengths && Int32Array.from(options.lengths);
    this.documentIds = options.documentIds;
    this.ids = options.ids;
    this.plan = options.plan;
    this.record = options.record;
    this.memory = options.memory;
  }

  /** The same batch with `plan`, `record`, `memory`, `ids` or (where it had none) `documentIds` replaced. Tensors are shared; dispose one of the two. */
  with(options: Pick<SequenceContextOptions, 'plan' | 'record' | 'memory' | 'ids' | 'documentIds'>): SequenceContext {
    const next = new SequenceContext(this.batch, this.length, { ...this, ...options });
    next.made = this.made;
    return next;
  }

  /** Is position t of row b real? */
  isReal(b: number, t: number): boolean {
    return !this.lengths || t < this.lengths[b]!;
  }

  /** Does a document (or the row) start at t? */
  isStart(b: number, t: number): boolean {
    return t === 0 || (this.documentIds !== undefined && this.documentIds[b * this.length + t] !== this.documentIds[b * this.length + t - 1]);
  }

  /** (B, L) int32 positions that restart at each document. */
  positions(): Int32Array {
    const { batch, length } = this;
    const out = new Int32Array(batch * length);
    for (let b = 0; b < batch; b++)
      for (let t = 0, p = 0; t < length; t++) {
        if (this.isStart(b, t)) p = 0;
        out[b * length + t] = p++;
      }
    return out;
  }

  /** (B) int32, or `undefined` without padding. */
  lengthsTensor(): tf.Tensor1D | undefined {
    return this.lengths && (this.make('lengths', () => tf.tensor1d(this.lengths!, 'int32')) as tf.Tensor1D);
  }

  /** (B, L) float32, 1 at real positions, or `undefined` without padding. */
  maskTensor(): tf.Tensor2D | undefined {
    if (!this.lengths) return undefined;
    return this.make('mask', () => {
      const values = new Float32Array(this.batch * this.length);
      for (let b = 0; b < this.batch; b++) values.fill(1, b * this.length, b * this.length + this.lengths![b]!);
      return tf.tensor2d(values, [this.batch, this.length]);
    }) as tf.Tensor2D;
  }

  /** (B, L) int32, or `undefined` when every row is one document. */
  documentIdsTensor(): tf.Tensor2D | undefined {
    return (
      this.documentIds && (this.make('documentIds', () => tf.tensor2d(this.documentIds!, [this.batch, this.length], 'int32')) as tf.Tensor2D)
    );
  }

  /** A tensor kept with this context under a name of the caller's, e.g. rotary tables. */
  make(name: string, create: () => tf.Tensor): tf.Tensor {
    return this.made.get(name, create);
  }

  dispose(): void {
    this.made.dispose();
  }
}

function checkOptions(batch: number, length: number, { lengths, documentIds, ids }: SequenceContextOptions): void {
  const fail = (what: string): never => {
    throw new DataError(`[SequenceContext] ${what}`);
  };
  if (lengths) {
    if (lengths.length !== batch) fail(`lengths: expected one per row (${batch}), got ${lengths.length}.`);
    for (const n of lengths) if (!(n >= 0 && n <= length)) fail(`lengths: ${n} is outside 0..${length}.`);
  }
  for (const [name, values] of Object.entries({ documentIds, ids })) {
    if (values && values.length !== batch * length) fail(`${name}: expected ${batch} x ${length} values, got ${values.length}.`);
  }
}
