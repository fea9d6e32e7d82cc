import * as tf from '@tensorflow/tfjs-core';
import {
  gatherRows,
  hostState,
  hostValues,
  Linear,
  Module,
  putRows,
  takeRows,
  zeroRows,
  type BoundaryDecision,
  type DeviceUpsamplerInput,
  type OnDevice,
  type Rng,
  type Segmentation,
  type SequenceContext,
  type Upsampler,
} from '@bytelm/core';
import { confidenceGate } from '../ops/confidence-gate.js';
import { emaGather } from '../ops/ema-gather.js';
import { EMA_CLAMP, emaScan } from '../ops/ema-scan.js';
import { firedIndex } from './chunk-layer.js';
import { dechunkOnDevice } from './dechunk-on-device.js';

export interface DeChunkState {
  /** (B, D) the smoothed chunk vector that each row sees now. */
  value: tf.Tensor2D;
}

/**
 * H-Net's upsampler: smooths the main network's outputs by an average over chunks, repeats each until the next boundary, passes them
 * through the straight-through confidence gate and adds the projected encoder output.
 *
 *     z_j = P_j h_j + (1 − P_j) z_{j−1};   y_t = z_{visible(t)} · ste(c_t) + W e_t + b
 *
 * Without probabilities (a chunker that is not learned) P = 1: no smoothing, no gate. A main network of another width is projected first
 * (not in H-Net, whose main networks are made narrow again by `PadWidth`).
 * Keys: `residual_proj.weight` (D, D), initially 0, `residual_proj.bias` (D); `main_proj.weight` (D, dMain) where `dMain` is not D.
 * @source H-Net, arXiv 2507.07955, section 2.3.
 */
export class DeChunkLayer extends Module implements Upsampler<DeChunkState> {
  readonly dModel: number;
  readonly dEncoded: number;
  readonly dMain: number;
  readonly residualProj: Linear;
  readonly mainProj: Linear | undefined;

  readonly straightThrough: boolean;
  readonly onDevice: OnDevice<DeviceUpsamplerInput, tf.Tensor2D, DeChunkState> = dechunkOnDevice(this);

  /**
   * @param config.dMain Width of the main network's outputs. Default dModel.
   * @param config.straightThrough false leaves out the confidence gate (the paper's ablation "no STE"). Default true.
   */
  constructor(config: { dModel: number; dMain?: number | undefined; straightThrough?: boolean | undefined }, rng?: Rng) {
    super();
    this.dModel = config.dModel;
    this.dEncoded = config.dModel;
    this.dMain = config.dMain ?? config.dModel;
    this.straightThrough = config.straightThrough ?? true;
    this.residualProj = this.addModule('residual_proj', new Linear({ inFeatures: config.dModel, outFeatures: config.dModel }, rng));
    const zeros = tf.zeros(this.residualProj.weight.shape, this.residualProj.weight.dtype);
    this.residualProj.weight.assign(zeros);
    zeros.dispose();
    if (this.dMain !== this.dModel) {
      this.mainProj = this.addModule('main_proj', new Linear({ inFeatures: this.dMain, outFeatures: this.dModel, bias: false }, rng?.fork('main_proj')));
    }
  }

  forward(outputs: tf.Tensor3D, encoded: tf.Tensor3D, seg: Segmentation, ctx: SequenceContext, boundaryProb?: tf.Tensor2D): tf.Tensor3D {
    return tf.tidy(() => {
      // Projected first: it is linear, so the average may come after it, and the state is as wide as the decoder.
      const main = this.mainProj?.forward(outputs) ?? outputs;
      const residual = this.residualProj.forward(encoded);
      if (!boundaryProb) return tf.add(gatherRows(main, seg.visibleChunk()), residual);
      const inner = ctx.documentIds && seg.innerContext(ctx);
      const u = emaGather(main, probAtBoundaries(boundaryProb, seg), seg.visibleChunk(), { documentIds: inner?.documentIdsTensor() });
      inner?.dispose();
      return tf.add(this.straightThrough ? confidenceGate(u, boundaryProb, seg.boundaryMaskTensor()) : u, residual);
    });
  }

  initState(batchSize: number): DeChunkState {
    return { value: tf.zeros([batchSize, this.dModel]) };
  }

  prefill(
    outputs: tf.Tensor3D,
    encoded: tf.Tensor3D,
    seg: Segmentation,
    state: DeChunkState,
    ctx: SequenceContext,
    boundaryProb?: tf.Tensor2D,
  ): { y: tf.Tensor3D; state: DeChunkState } {
    const [y, value] = tf.tidy(() => {
      const main = this.mainProj?.forward(outputs) ?? outputs;
      const inner = ctx.documentIds && seg.innerContext(ctx);
      const smoothing = { initialState: state.value, documentIds: inner?.documentIdsTensor() };
      const z = boundaryProb ? emaScan(main, probAtBoundaries(boundaryProb, seg), smoothing) : main;
      inner?.dispose();
      // Slot 0 is what the row saw before this piece: bytes in front of its first boundary see it still.
      const slots = tf.concat([tf.expandDims(state.value, 1), z], 1) as tf.Tensor3D;
      const u = gatherRows(slots, tf.add(seg.visibleChunk(), tf.scalar(1, 'int32')));
      const last = gatherRows(slots, tf.tensor2d(seg.numChunks, [ctx.batch, 1], 'int32'));
      return [tf.add(u, this.residualProj.forward(encoded)), tf.reshape(last, [ctx.batch, this.dModel])];
    }) as [tf.Tensor3D, tf.Tensor2D];
    state.value.dispose();
    return { y, state: { value } };
  }

  step(
    outputs: tf.Tensor2D | undefined,
    encoded: tf.Tensor2D,
    decision: BoundaryDecision,
    state: DeChunkState,
    rows?: readonly number[],
  ): { y: tf.Tensor2D; state: DeChunkState } {
    const projected = outputs && this.mainProj?.forward(outputs);
    const stepped = this.move(projected ?? outputs, encoded, decision, state, rows);
    projected?.dispose();
    return stepped;
  }

  private move(main: tf.Tensor2D | undefined, encoded: tf.Tensor2D, decision: BoundaryDecision, state: DeChunkState, rows?: readonly number[]): { y: tf.Tensor2D; state: DeChunkState } {
    const y = this.residualProj.forward(encoded);
    if (addInPlace(y, main, decision, state, rows)) return { y, state };
    const next = tf.tidy(() => {
      if (!main) return { seen: takeRows(state.value, rows), value: tf.clone(state.value) };
      const before = takeRows(state.value, rows);
      const fired = firedIndex(decision);
      const some = fired.length === decision.boundary.length ? undefined : fired;
      const seen = putRows(before, some, smooth(main, takeRows(before, some), decision, fired));
      return { seen, value: putRows(state.value, rows, seen) };
    });
    const sum = tf.add(next.seen, y) as tf.Tensor2D;
    tf.dispose([y, next.seen, state.value]);
    return { y: sum, state: { value: next.value } };
  }

  startDocument({ value }: DeChunkState, rows: readonly number[]): DeChunkState {
    return { value: zeroRows(value, rows) };
  }
}

/** (B, M): the probability at each chunk's boundary; what stands behind a row's last chunk is not read by anyone. */
function probAtBoundaries(prob: tf.Tensor2D, seg: Segmentation): tf.Tensor2D {
  return tf.squeeze(gatherRows(tf.expandDims(prob, -1) as tf.Tensor3D, seg.boundaryIndex()), [2]) as tf.Tensor2D;
}

/** The weight of row i's new chunk in the average; certain chunkers have 1. */
function weightOf({ prob }: BoundaryDecision, i: number): number {
  return prob ? Math.min(1 - EMA_CLAMP, Math.max(EMA_CLAMP, prob[i]!)) : 1;
}

/** One step of the average for the rows that fired, (F, D). */
function smooth(main: tf.Tensor2D, before: tf.Tensor2D, decision: BoundaryDecision, fired: number[]): tf.Tensor2D {
  if (!decision.prob) return tf.clone(main);
  const P = Float32Array.from(fired, (i) => weightOf(decision, i));
  return tf.add(before, tf.mul(tf.tensor2d(P, [P.length, 1]), tf.sub(main, before)));
}

/** The same on the host's memory, where there is such: moves `state` on and adds what each row sees to the fresh tensor y. */
function addInPlace(y: tf.Tensor2D, main: tf.Tensor2D | undefined, decision: BoundaryDecision, state: DeChunkState, rows: readonly number[] | undefined): boolean {
  const [R, D] = y.shape;
  const sum = hostState(y);
  const value = hostState(state.value);
  const chunks = main && hostValues(main);
  if (!sum || !value || (main && !chunks)) return false;
  let next = 0;
  for (let i = 0; i < R; i++) {
    const at = (rows ? rows[i]! : i) * D;
    if (chunks && decision.boundary[i]) {
      const weight = weightOf(decision, i);
      const from = next++ * D;
      for (let d = 0; d < D; d++) value[at + d]! += weight * (chunks[from + d]! - value[at + d]!);
    }
    for (let d = 0; d < D; d++) sum[i * D + d]! += value[at + d]!;
  }
  return true;
}
