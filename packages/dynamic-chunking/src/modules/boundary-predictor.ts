import * as tf from '@tensorflow/tfjs-core';
import {
  after,
  ConfigError,
  linear,
  Module,
  readValues,
  Segmentation,
  type BoundaryDecision,
  type Chunker,
  type ChunkerStepInput,
  type DeviceDecision,
  type MaybePromise,
  type OnDevice,
  type Rng,
  type SequenceContext,
} from '@bytelm/core';
import { boundaryProbability } from '../ops/boundary-probability.js';
import { emittedOnDevice } from './emitted-on-device.js';
import { parseThreshold, type BoundaryThreshold, type DecideRow } from './boundary-threshold.js';
import { RoutingModule, type RoutingState } from './routing-module.js';

export interface BoundaryPredictorConfig {
  dModel: number;
  /** Bytes behind position t that the decision at t sees. Default 1, as in Bolmo; 0 is H-Net's causal router. */
  lookahead?: number;
  /** Default `sample:0`. */
  threshold?: BoundaryThreshold;
  /** Round the chunk axis up to a multiple of this (few sizes for WebGPU). Default 1. */
  padTo?: number;
  /** For the threshold `sample:1`. */
  rng?: Rng;
}

/** With a look-ahead only whether rows have begun; without, the router's. */
export type BoundaryPredictorState = Partial<RoutingState> & { seen: Uint8Array };

/** log p of positions that cannot be decided: what they would need lies beyond the end. */
const UNDECIDED = -100000;

/**
 * Bolmo's chunker: a patch ends at t where the vector of t differs from that of the byte `lookahead` behind it,
 * `p_t = (1 − cos(Wq e_t, Wk e_{t+L})) / 2`. Subword tokenizers decide where a token ends by what follows it; with one byte of look-ahead a
 * shallow encoder can do the same. The first position of a document is a boundary (p = 1); its last L positions are none, since what
 * follows is not known: while decoding, the output head says where patches end.
 *
 * Keys: `q_proj_layer.weight`, `k_proj_layer.weight` (D, D), initially the identity.
 * @source Bolmo, arXiv 2512.15586, section 3.1. Checkpoint: the published code applies q to the current and k to the later vector; the
 * paper has it the other way round.
 */
export class BoundaryPredictor extends Module implements Chunker<BoundaryPredictorState> {
  readonly reads = 'hidden';
  readonly lookahead: number;
  readonly dModel: number;
  /** With a look-ahead for heads that emit boundaries. */
  readonly onDevice: OnDevice<tf.Tensor2D, DeviceDecision, BoundaryPredictorState>;
  private readonly router: RoutingModule;
  private readonly decideRow: DecideRow;
  private readonly padTo: number;

  /** @throws ConfigError */
  constructor({ dModel, lookahead = 1, threshold = 'sample:0', padTo = 1, rng }: BoundaryPredictorConfig) {
    super();
    if (!(Number.isInteger(lookahead) && lookahead >= 0)) throw new ConfigError(`[BoundaryPredictor] lookahead: expected a whole number from 0, got ${lookahead}.`);
    this.dModel = dModel;
    this.lookahead = lookahead;
    this.padTo = padTo;
    this.decideRow = parseThreshold(threshold, rng);
    if (!lookahead && threshold.startsWith('above:')) throw new ConfigError(`[BoundaryPredictor] threshold: without a look-ahead the router decides, at one half, got '${threshold}'. Hint: 'sample:0'.`);
    this.router = this.addModule('', new RoutingModule({ dModel, padTo }));
    this.onDevice = lookahead ? emittedOnDevice : (this.router.onDevice as OnDevice<tf.Tensor2D, DeviceDecision, BoundaryPredictorState>);
  }

  /** (B, L, D) → (B, L). Differentiable; 1 at document starts, 0 where the look-ahead reaches over a document's end. */
  boundaryProb(hidden: tf.Tensor3D, ctx: SequenceContext): tf.Tensor2D {
    return this.lookahead ? this.prob(hidden, ctx, (b, t) => ctx.isStart(b, t)) : this.router.boundaryProb(hidden, ctx);
  }

  /**
   * (B, L) log-probabilities as the boundary loss takes them: 0 at document starts, at least log(epsilon / 2) elsewhere, −100000 where
   * nothing can be decided. Differentiable.
   */
  boundaryLogProb(hidden: tf.Tensor3D, ctx: SequenceContext, epsilon = 1e-3): tf.Tensor2D {
    return tf.tidy(() => {
      const p = this.boundaryProb(hidden, ctx);
      const logs = tf.log(tf.maximum(p, tf.fill(p.shape, epsilon / 2)));
      const [B, L] = p.shape;
      const decided = Float32Array.from({ length: B * L }, (_, i) => (this.isUndecided(ctx, Math.floor(i / L), i % L) ? 0 : 1));
      const mask = tf.tensor2d(decided, [B, L]);
      return tf.add(tf.mul(logs, mask), tf.mul(tf.sub(1, mask), UNDECIDED)) as tf.Tensor2D;
    });
  }

  segment(hidden: tf.Tensor3D | undefined, ctx: SequenceContext, prob?: tf.Tensor2D): MaybePromise<Segmentation> {
    const p = prob ?? this.boundaryProb(hidden!, ctx);
    return after(readValues(p), (values) => {
      if (!prob) p.dispose();
      return this.decide(values as Float32Array, ctx, false);
    });
  }

  initState(batchSize: number): BoundaryPredictorState {
    return this.lookahead ? { seen: new Uint8Array(batchSize) } : this.router.initState(batchSize);
  }

  /**
   * With a look-ahead a piece is decided by itself: its last positions are no boundaries, also where a further piece follows. A prompt is
   * read in one piece.
   */
  prefill(hidden: tf.Tensor3D | undefined, state: BoundaryPredictorState, ctx: SequenceContext): MaybePromise<{ segmentation: Segmentation; boundaryProb: tf.Tensor2D; state: BoundaryPredictorState }> {
    const continues = state.seen.some((s) => s > 0);
    if (!this.lookahead) {
      return after(this.router.prefill(hidden, state as RoutingState, ctx), (cut) => {
        cut.segmentation.dispose();
        return after(readValues(cut.boundaryProb), (values) => ({ ...cut, segmentation: this.decide(values as Float32Array, ctx, continues) }));
      });
    }
    const boundaryProb = this.prob(hidden!, ctx, (b, t) => (t === 0 ? !state.seen[b] : ctx.isStart(b, t)));
    return after(readValues(boundaryProb), (values) => {
      const segmentation = this.decide(values as Float32Array, ctx, continues);
      const seen = state.seen.map((s, b) => (s || ctx.isReal(b, 0) ? 1 : 0));
      return { segmentation, boundaryProb, state: { seen } };
    });
  }

  /**
   * With a look-ahead the boundaries that the output head emitted are taken over: nobody knows the next byte while decoding.
   * @throws ConfigError when there are none, as with a head that emits none.
   */
  step(input: ChunkerStepInput, state: BoundaryPredictorState, rows?: readonly number[]): MaybePromise<{ decision: BoundaryDecision; state: BoundaryPredictorState }> {
    if (this.lookahead) {
      const { emitted } = input;
      if (!emitted) throw new ConfigError(`[BoundaryPredictor.step] a look-ahead of ${this.lookahead} cannot be used while decoding. Hint: take the boundaries that the output head emits.`);
      const boundary = emitted.map((ends, i) => {
        const row = rows ? rows[i]! : i;
        const first = !state.seen[row];
        state.seen[row] = 1;
        return first ? 1 : ends;
      });
      return { decision: { boundary }, state };
    }
    return this.router.step(input, state as RoutingState, rows);
  }

  startDocument(state: BoundaryPredictorState, rows: readonly number[]): BoundaryPredictorState {
    for (const row of rows) state.seen[row] = 0;
    return state;
  }

  private prob(hidden: tf.Tensor3D, ctx: SequenceContext, isStart: (b: number, t: number) => boolean): tf.Tensor2D {
    const [B, L, D] = hidden.shape;
    const n = Math.max(0, L - this.lookahead);
    return tf.tidy(() => {
      const [wq, wk] = [...this.router.parameters().values()] as unknown as [tf.Tensor2D, tf.Tensor2D];
      const free = new Float32Array(B * L);
      const starts = new Float32Array(B * L);
      for (let b = 0; b < B; b++)
        for (let t = 0; t < L; t++) {
          const i = b * L + t;
          starts[i] = isStart(b, t) ? 1 : 0;
          free[i] = starts[i] || this.isUndecided(ctx, b, t) ? 0 : 1;
        }
      const certain = tf.tensor2d(starts, [B, L]);
      if (!n) return tf.clone(certain);
      const q = linear(tf.slice(hidden, [0, 0, 0], [B, n, D]), wq);
      const k = linear(tf.slice(hidden, [0, this.lookahead, 0], [B, n, D]), wk);
      const p = tf.concat([boundaryProbability(q, k), tf.zeros([B, L - n])], 1);
      return tf.add(tf.mul(p, tf.tensor2d(free, [B, L])), certain) as tf.Tensor2D;
    });
  }

  /** Does the look-ahead of position t reach into padding, another document, or over the end? Starts need none. */
  private isUndecided(ctx: SequenceContext, b: number, t: number): boolean {
    if (ctx.isStart(b, t)) return false;
    const later = t + this.lookahead;
    if (later >= ctx.length || !ctx.isReal(b, later)) return true;
    return ctx.documentIds !== undefined && ctx.documentIds[b * ctx.length + later] !== ctx.documentIds[b * ctx.length + t];
  }

  private decide(p: Float32Array, ctx: SequenceContext, continues: boolean): Segmentation {
    const { batch, length } = ctx;
    const mask = new Uint8Array(batch * length);
    for (let b = 0; b < batch; b++) {
      // A row of length 0 still has a first position on paper.
      const real = Math.max(ctx.lengths?.[b] ?? length, continues ? 0 : 1);
      this.decideRow(p.subarray(b * length, b * length + real), mask.subarray(b * length, b * length + real));
      if (!continues && length) mask[b * length] = 1;
    }
    return new Segmentation(batch, length, mask, { drawnAt: 'end', padTo: this.padTo, continues });
  }
}
