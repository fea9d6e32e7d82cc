import * as tf from '@tensorflow/tfjs-core';
import {
  after,
  linear,
  Module,
  putRows,
  readValues,
  Segmentation,
  takeRows,
  type BoundaryDecision,
  type Chunker,
  type ChunkerStepInput,
  type DeviceDecision,
  type MaybePromise,
  type OnDevice,
  type SequenceContext,
} from '@bytelm/core';
import { boundaryProbability } from '../ops/boundary-probability.js';
import { routeOnDevice } from './route-on-device.js';

export interface RoutingState {
  /** (B, D) encoder output at each row's last position. */
  last: tf.Tensor2D;
  /** (B) 1 once the row has seen a byte. */
  seen: Uint8Array;
}

/**
 * H-Net's learned chunker: a position opens a chunk where its vector differs from the previous one,
 * `p_t = (1 − cos(Wq e_{t−1}, Wk e_t)) / 2 > 0.5`. The first position of every document is a boundary with p = 1.
 *
 * Keys: `q_proj_layer.weight`, `k_proj_layer.weight` (D, D), initially the identity.
 * @source H-Net, arXiv 2507.07955, section 2.2. Checkpoint: the published code applies q to the previous and k to the current vector;
 * the paper's eq. 4 has it the other way round.
 */
export class RoutingModule extends Module implements Chunker<RoutingState> {
  readonly reads = 'hidden';
  readonly lookahead = 0;
  readonly dModel: number;
  private readonly wq: tf.Tensor2D;
  private readonly wk: tf.Tensor2D;
  private readonly padTo: number;
  readonly onDevice: OnDevice<tf.Tensor2D, DeviceDecision, RoutingState>;

  /** @param config.padTo Round the chunk axis up to a multiple of this (few sizes for WebGPU). Default 1. */
  constructor(config: { dModel: number; padTo?: number }) {
    super();
    this.dModel = config.dModel;
    this.padTo = config.padTo ?? 1;
    this.wq = this.addParameter('q_proj_layer.weight', tf.eye(config.dModel)) as tf.Tensor as tf.Tensor2D;
    this.wk = this.addParameter('k_proj_layer.weight', tf.eye(config.dModel)) as tf.Tensor as tf.Tensor2D;
    this.onDevice = routeOnDevice(this.wq, this.wk);
  }

  /** (B, L, D) → (B, L). Differentiable by `hidden` and both projections; 1 at document starts. */
  boundaryProb(hidden: tf.Tensor3D, ctx: SequenceContext): tf.Tensor2D {
    return tf.tidy(() => {
      const [B, L, D] = hidden.shape;
      const first = tf.ones([B, 1]);
      if (L === 1) return first as tf.Tensor2D;
      const q = linear(tf.slice(hidden, [0, 0, 0], [B, L - 1, D]), this.wq);
      const k = linear(tf.slice(hidden, [0, 1, 0], [B, L - 1, D]), this.wk);
      const p = tf.concat([first, boundaryProbability(q, k)], 1) as tf.Tensor2D;
      return ctx.documentIds ? certainAt(p, startsTensor(ctx)) : p;
    });
  }

  segment(hidden: tf.Tensor3D | undefined, ctx: SequenceContext, prob?: tf.Tensor2D): MaybePromise<Segmentation> {
    const p = prob ?? this.boundaryProb(hidden!, ctx);
    return after(readValues(p), (values) => {
      if (!prob) p.dispose();
      return this.decide(values as Float32Array, ctx);
    });
  }

  initState(batchSize: number): RoutingState {
    return { last: tf.zeros([batchSize, this.dModel]), seen: new Uint8Array(batchSize) };
  }

  prefill(
    hidden: tf.Tensor3D | undefined,
    state: RoutingState,
    ctx: SequenceContext,
  ): MaybePromise<{ segmentation: Segmentation; boundaryProb: tf.Tensor2D; state: RoutingState }> {
    const e = hidden!;
    const [B, L, D] = e.shape;
    const boundaryProb = tf.tidy(() => {
      const before = tf.concat([tf.expandDims(state.last, 1), tf.slice(e, [0, 0, 0], [B, L - 1, D])], 1);
      const p = boundaryProbability(linear(before, this.wq), linear(e, this.wk)) as tf.Tensor2D;
      return certainAt(p, tf.tensor2d(this.starts(state, ctx), [B, L]));
    });
    const last = lastRealRow(e, ctx, state.last);
    return after(readValues(boundaryProb), (values) => {
      const segmentation = this.decide(values as Float32Array, ctx, state.seen.some((s) => s > 0));
      const seen = state.seen.map((s, b) => (s || (ctx.lengths ? ctx.lengths[b]! > 0 : L > 0) ? 1 : 0));
      state.last.dispose();
      return { segmentation, boundaryProb, state: { last, seen } };
    });
  }

  step(input: ChunkerStepInput, state: RoutingState, rows?: readonly number[]): MaybePromise<{ decision: BoundaryDecision; state: RoutingState }> {
    const e = input.hidden!;
    const [R, D] = e.shape;
    const [q, k] = tf.tidy(() => [linear(rows ? takeRows(state.last, rows) : state.last, this.wq), linear(e, this.wk)]) as [tf.Tensor, tf.Tensor];
    const last = putRows(state.last, rows, e);
    state.last.dispose();
    return after(readValues(q), (qv) =>
      after(readValues(k), (kv) => {
        tf.dispose([q, k]);
        const boundary = new Uint8Array(R);
        const prob = new Float32Array(R);
        for (let i = 0; i < R; i++) {
          const row = rows ? rows[i]! : i;
          prob[i] = state.seen[row] ? halfOneMinusCosine(qv as Float32Array, kv as Float32Array, i * D, D) : 1;
          boundary[i] = prob[i]! > 0.5 ? 1 : 0;
          state.seen[row] = 1;
        }
        return { decision: { boundary, prob }, state: { last, seen: state.seen } };
      }),
    );
  }

  startDocument(state: RoutingState, rows: readonly number[]): RoutingState {
    for (const row of rows) state.seen[row] = 0;
    return state;
  }

  /** A tie, p = 0.5, is not a boundary. */
  private decide(p: Float32Array, ctx: SequenceContext, continues = false): Segmentation {
    const mask = new Uint8Array(p.length);
    for (let b = 0; b < ctx.batch; b++)
      for (let t = 0; t < ctx.length; t++) {
        const i = b * ctx.length + t;
        // A row of length 0 still has a first position on paper; nothing of it is real.
        mask[i] = p[i]! > 0.5 && (ctx.isReal(b, t) || (t === 0 && !continues)) ? 1 : 0;
      }
    return new Segmentation(ctx.batch, ctx.length, mask, { drawnAt: 'start', padTo: this.padTo, continues });
  }

  private starts(state: RoutingState, ctx: SequenceContext): Float32Array {
    const out = new Float32Array(ctx.batch * ctx.length);
    for (let b = 0; b < ctx.batch; b++)
      for (let t = 0; t < ctx.length; t++) out[b * ctx.length + t] = t === 0 ? (state.seen[b] ? 0 : 1) : ctx.isStart(b, t) ? 1 : 0;
    return out;
  }
}

function startsTensor(ctx: SequenceContext): tf.Tensor2D {
  return ctx.make('starts', () => {
    const values = new Float32Array(ctx.batch * ctx.length);
    for (let b = 0; b < ctx.batch; b++) for (let t = 0; t < ctx.length; t++) values[b * ctx.length + t] = ctx.isStart(b, t) ? 1 : 0;
    return tf.tensor2d(values, [ctx.batch, ctx.length]);
  }) as tf.Tensor2D;
}

/** p with exactly 1 (and no gradient) where `starts` is 1. */
function certainAt(p: tf.Tensor2D, starts: tf.Tensor2D): tf.Tensor2D {
  return tf.add(tf.mul(p, tf.sub(1, starts)), starts);
}

/** (B, L, D) → (B, D): each row's last real vector, `otherwise` for rows without one. */
function lastRealRow(x: tf.Tensor3D, ctx: SequenceContext, otherwise: tf.Tensor2D): tf.Tensor2D {
  const [B, L, D] = x.shape;
  return tf.tidy(() => {
    const flat = tf.concat([tf.reshape(x, [B * L, D]), otherwise], 0);
    const index = Int32Array.from({ length: B }, (_, b) => {
      const n = ctx.lengths?.[b] ?? L;
      return n > 0 ? b * L + n - 1 : B * L + b;
    });
    return tf.gather(flat, tf.tensor1d(index, 'int32')) as tf.Tensor2D;
  });
}

function halfOneMinusCosine(q: Float32Array, k: Float32Array, offset: number, D: number): number {
  let dot = 0;
  let qq = 0;
  let kk = 0;
  for (let i = offset; i < offset + D; i++) {
    dot += q[i]! * k[i]!;
    qq += q[i]! * q[i]!;
    kk += k[i]! * k[i]!;
  }
  const cos = dot / (Math.max(Math.sqrt(qq), 1e-12) * Math.max(Math.sqrt(kk), 1e-12));
  return Math.min(1, Math.max(0, (1 - cos) / 2));
}
